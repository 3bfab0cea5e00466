"""What a report says, worked out from a folder."""

import base64
import json

import pytest

from results.errors import RecordError, ReportError
from results.report.report_data import ReportData, layer_errors
from results.report.write import render
from results.store import RunStore

from ..conftest import png


def test_counts_add_up(fake_run):
    vqgan, spae = ReportData(fake_run).counts
    assert (vqgan.row.tokenizer, vqgan.n, vqgan.scored, vqgan.infeasible) == ("vqgan", 210, 175, 35)
    assert (spae.n, spae.scored, spae.infeasible, spae.failed) == (210, 210, 0, 0)
    assert [(reason.status, reason.explanation, reason.count) for reason in ReportData(fake_run).reasons] == [
        ("infeasible", "too long", 35)
    ]


def test_chance_is_one_of_the_choices(fake_run):
    run = ReportData(fake_run)
    assert set(run.chance(run.tables[0]).values()) == {20.0} and "average" in run.chance(run.tables[0])


def test_embedded_data_is_said_to_be_no_mini_imagenet(fake_run):
    run = ReportData(fake_run)
    assert run.embedded and "NOT mini-ImageNet" in dict(run.overview)["Data"]
    (fake_run / "examples.json").unlink()
    assert dict(ReportData(fake_run).overview)["Data"] == "pictograms"


def test_hashes_name_every_input_once(fake_run):
    assert [name for name, _ in ReportData(fake_run).hashes] == [
        "run configuration", "tokenizer vqgan", "language model SmolLM2-135M-Instruct", "data pictograms",
        "tokenizer spae",
    ]  # fmt: skip


def test_examples_of_a_sample_stand_side_by_side(fake_run):
    first, second = ReportData(fake_run).samples
    assert [example.tokenizer for example in first.examples] == ["vqgan", "spae"]
    assert (first.setting, second.setting, first.query.label) == ("i1-s1-r0", "i1-s3-r0", "lion")


def test_calls_from_the_cache_take_no_time(fake_run):
    run = ReportData(fake_run)
    asked = sum(not call.cached for call in run.store.calls)  # a quarter of a second each, see conftest.py
    cached = 385 - asked
    assert 0 < asked < cached
    assert (
        run.call_line
        == f"385 replies: {cached} from the response cache, {asked} asked of the model in {asked / 4:.1f} s."
    )


def test_layer_errors_add_tokens(fake_run):
    spae = ReportData(fake_run).reconstructions[-1]
    assert [(e.tokens, round(e.share, 2)) for e in layer_errors(spae)] == [(1, 0.88), (5, 0.69), (21, 0.38), (37, 0.27)]


def test_a_run_without_records_has_no_report(tmp_path):
    RunStore.create(tmp_path, {}, resume=False)
    with pytest.raises(ReportError, match="needs records"):
        ReportData(tmp_path)


def test_slow_paths_of_the_usage_are_a_warning_in_the_report(fake_run):
    assert ReportData(fake_run).slow_paths == {}
    usage = {"format": 1, "total": {"slow_paths": {"no cached decoding": 1200, "none": 0}}, "last": {}}
    (fake_run / "usage.json").write_text(json.dumps(usage))
    run = ReportData(fake_run)
    assert run.slow_paths == {"no cached decoding": 1200}
    assert run.notes == ["Slow path: 1,200 requests: no cached decoding"]
    assert run.notes[0] in render(fake_run, "md") and run.notes[0] in render(fake_run, "html")
    (fake_run / "usage.json").write_text("[]")
    with pytest.raises(RecordError, match="must hold a run's usage"):
        ReportData(fake_run)


def test_what_was_not_as_asked_for_is_a_warning_in_the_report(fake_run):
    usage = {"format": 1, "total": {"adjustments": {"temperature 0 was left out": 1200}}, "last": {}}
    (fake_run / "usage.json").write_text(json.dumps(usage))
    assert ReportData(fake_run).notes == ["Not as asked for: 1,200 answers: temperature 0 was left out"]


def test_reasons_that_differ_in_numbers_only_are_one_line(tmp_path, key, of):
    store = RunStore.create(tmp_path, {})
    long = [f"prompt and reply are {900 + 100 * i:,} tokens, m takes 512" for i in range(3)]
    said = {
        "infeasible": [*long, long[0]],
        "failed": ["m answers 400 (odd)", "m answers 400 (odd)", "m answers 500 (odd, 1.5 s)"],
    }
    records = [
        of(key(), status=status, scores={}, reply=None, prediction=None, explanation=text, sample_id=f"{status}-{i}")
        for status, texts in said.items()
        for i, text in enumerate(texts)
    ]
    store.append(records)
    assert [(one.count, one.explanation) for one in ReportData(tmp_path).reasons] == [
        (4, "prompt and reply are 900 to 1,100 tokens, m takes 512"),
        (2, "m answers 400 (odd)"),
        (1, "m answers 500 (odd, 1.5 s)"),
    ]


def test_a_metric_without_facts_is_a_note(tmp_path, key, of):
    store = RunStore.create(tmp_path, {})
    store.append([of(key(task="t"), scores={"new": 0.25})])
    [note] = ReportData(tmp_path).notes
    assert "describes no metric 'new'" in note


def test_verdicts_go_by_the_bounds_of_the_primary_metric(fake_run, show):
    run = ReportData(fake_run)
    scores = {1.0: "right", 0.0: "wrong", 0.5: ""}
    assert {value: run.verdict(show("spae", value=value)) for value in scores} == scores
    assert run.verdict(show("spae", value=None)) == run.verdict(show("spae", references=("a", "b"))) == ""
    assert run.verdict(show("spae", task="unknown")) == "" and run.score_text(show("spae")) == "accuracy 100.0"


def test_generated_images_are_files_of_the_folder(fake_run, show):
    run = ReportData(fake_run)
    data = base64.b64decode(png(0))
    (fake_run / "sample.png").write_bytes(data)
    assert run.generated(show("spae", generated=("sample.png",))) == [png(0)]
    (fake_run / "text.png").write_text("<svg>")
    for name in ("missing.png", "text.png", "../sample.png"):
        with pytest.raises(RecordError):
            run.generated(show("spae", generated=(name,)))
