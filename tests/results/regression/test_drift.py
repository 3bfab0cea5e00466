"""Drifts between values made by hand; how they come about in a run is in tests/benchmarks/test_regression.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from results.analysis.aggregate import aggregate
from results.record import Record
from results.regression.baseline import Baseline, BaselineFacts, ScorerOutcomes
from results.regression.drift import Drift, find_drifts, unified

TASK = "miniimagenet-5way"
CELL = f"{TASK} i1-s1-r0 spae 1-2 ranked"
CONFIG = {
    "seed": 0,
    "llm_identity": {"kind": "scripted", "model": "m", "revision": "r"},
    "llm_context_length": 100,
    "samples_sha256": {TASK: "2" * 64},
    "tokenizers": {"spae": {"fingerprint": "3" * 64, "depth": 6}},
    "metrics": {TASK: [{"name": "accuracy", "unit": "percent of 1"}]},
}
SCORER = ScorerOutcomes(task=TASK, scoring="exact", outcomes={"the answer": "scored 1", "nothing": "empty"})
WRONG = SCORER.model_copy(update={"outcomes": {"the answer": "scored 0", "nothing": "empty"}})
FACTS = BaselineFacts(replies_sha256="9" * 64, scorers=(SCORER,))


@pytest.fixture
def records(key, values) -> tuple[Record, ...]:
    return tuple(values(key(), [1, 0, 1, 1]))


@pytest.fixture
def recorded(records) -> Baseline:
    return Baseline(CONFIG, records, tuple(aggregate(records)), FACTS)


def with_record(baseline: Baseline, number: int, **changes: object) -> Baseline:
    """The same with one record changed; its cells stay as they are."""
    records = list(baseline.records)
    records[number] = records[number].model_copy(update=changes)
    return replace(baseline, records=tuple(records))


def test_nothing_drifts_from_itself(recorded):
    assert find_drifts(recorded, recorded) == []


@pytest.mark.parametrize(
    ("changes", "kind", "where", "old", "new"),
    [
        ({"llm_identity": CONFIG["llm_identity"] | {"revision": "x"}}, "model", "revision", "r", "x"),
        ({"llm_context_length": 50}, "context length", "llm_context_length", "100", "50"),
        ({"tokenizers": {"spae": {"fingerprint": "9" * 64, "depth": 6}}}, "tokenizer", "spae.fingerprint", "3" * 12,
         "9" * 12),
        ({"samples_sha256": {TASK: "8" * 64}}, "manifest", TASK, "2" * 12, "8" * 12),
        ({"seed": 7}, "setting of the run", "seed", "0", "7"),
    ],
)  # fmt: skip
def test_each_part_of_the_configuration_has_its_kind(recorded, changes, kind, where, old, new):
    changed = replace(recorded, config=CONFIG | changes)
    assert find_drifts(recorded, changed) == [Drift(kind, where, old, new)]
    assert find_drifts(changed, recorded) == [Drift(kind, where, new, old)]


def test_changed_metric_facts_are_named(recorded):
    changed = replace(recorded, config=CONFIG | {"metrics": {TASK: [{"name": "accuracy", "unit": "fraction"}]}})
    assert [(drift.kind, drift.where) for drift in find_drifts(recorded, changed)] == [("metric", TASK)]


def test_changed_scorer_is_named_by_its_case_unless_the_samples_changed(recorded):
    changed = replace(recorded, facts=FACTS.model_copy(update={"scorers": (WRONG,)}))
    where = f"exact of {TASK}, case: the answer"
    assert find_drifts(recorded, changed) == [Drift("scorer", where, "scored 1", "scored 0")]
    gone = replace(recorded, facts=FACTS.model_copy(update={"scorers": ()}))
    assert [drift.now for drift in find_drifts(recorded, gone)] == ["none", "none"]
    other = replace(changed, config=CONFIG | {"samples_sha256": {TASK: "8" * 64}})
    assert [drift.kind for drift in find_drifts(recorded, other)] == ["manifest"]


def test_other_image_bytes_are_named(recorded):
    changed = with_record(recorded, 0, data_fingerprint="e" * 64)
    changed = replace(
        changed, records=tuple(r.model_copy(update={"data_fingerprint": "e" * 64}) for r in changed.records)
    )
    assert find_drifts(recorded, changed) == [Drift("data", f"{TASK} on pictograms", "d" * 12, "e" * 12)]


@pytest.mark.parametrize(
    ("kind", "changes", "now"),
    [
        ("sample", {"target": "bus"}, "target bus"),
        ("sample", {"sample_fingerprint": "f" * 64}, "sample_fingerprint ffff"),
        ("missing reply", {"status": "failed", "scores": {}, "reply": None, "explanation": "none is stored"},
         "none is stored"),
        ("prediction", {"prediction": "bus"}, "'bus'"),
        ("prediction", {"status": "empty", "scores": {}}, "empty"),
        ("prediction", {"reply": " bus"}, "bus"),  # no stored reply changed: ranked scoring wrote another class
        ("score", {"scores": {"accuracy": 0.5}}, '{"accuracy": 0.5}'),
        ("score", {"scores": {"accuracy": 1.0, "BLEU-1": 1.0}}, "BLEU-1"),
        ("explanation", {"explanation": "a tie"}, "(a tie)"),
        ("generated", {"tokens": (("word",),)}, "word"),
    ],
)  # fmt: skip
def test_changed_field_of_a_record_has_its_kind(recorded, kind, changes, now):
    (drift,) = find_drifts(recorded, with_record(recorded, 0, **changes))
    assert (drift.kind, drift.where, drift.count) == (kind, f"{CELL} i1-s1-r0/0", 1)
    assert now in drift.now and drift.now != drift.recorded


def test_cause_hides_its_effects(recorded):
    effects = {"prediction": "bus", "scores": {"accuracy": 0.0}, "explanation": "a tie", "reply": " bus"}
    for cause in ({"prompt": "x"}, {"sample_fingerprint": "f" * 64}):
        kinds = [drift.kind for drift in find_drifts(recorded, with_record(recorded, 0, **effects, **cause))]
        assert kinds == ["prompt" if "prompt" in cause else "sample"]


def test_changed_prompts_are_one_drift_per_cell_with_a_diff(recorded):
    changed = with_record(with_record(recorded, 1, prompt="Input:\nAnswer:"), 2, prompt="Input:\nAnswer:")
    (drift,) = find_drifts(recorded, changed)
    assert (drift.kind, drift.where, drift.count) == ("prompt", CELL, 2)
    assert drift.diff.splitlines()[3:] == [" Input:", "-Output:", "+Answer:"]


def test_edited_replies_file_makes_a_changed_reply_a_drift_of_replies(recorded):
    changed = with_record(recorded, 0, reply=" bus", prediction="bus")
    changed = replace(changed, facts=FACTS.model_copy(update={"replies_sha256": "8" * 64}))
    edited, reply = find_drifts(recorded, changed)
    assert (edited.kind, reply.kind, reply.recorded, reply.now) == ("edited replies", "reply", " lion", " bus")


def test_records_that_come_and_go(recorded, of, key):
    new = of(key(), 9)
    found = find_drifts(recorded, replace(recorded, records=(*recorded.records[1:], new)))
    assert [(d.kind, d.where, d.recorded, d.now) for d in found] == [
        ("record", CELL, "i1-s1-r0/0", "none"), ("record", CELL, "none", "i1-s1-r0/9"),
    ]  # fmt: skip


def test_other_weights_do_not_hide_equal_records(recorded):
    """Records are paired by what they are about, not by ids, which hold the fingerprints."""
    changed = tuple(r.model_copy(update={"tokenizer_fingerprint": "e" * 64, "id": "0" * 64}) for r in recorded.records)
    assert find_drifts(recorded, replace(recorded, records=changed)) == []


def test_shuffled_images_are_a_cell_of_their_own(recorded, of, key):
    shuffled = of(key(shuffled=True), 0)
    (drift,) = find_drifts(recorded, replace(recorded, records=(*recorded.records, shuffled)))
    assert drift.where == f"{TASK} i1-s1-r0 spae shuffled 1-2 ranked"


def test_aggregates_are_compared_beyond_rounding(recorded, key, values):
    for numbers, drifted in (([1, 0, 1, 1], False), ([1, 0, 1, 0], True), ([1, 0, 1], True)):
        cells = tuple(aggregate(values(key(), numbers)))
        assert [d.kind for d in find_drifts(recorded, replace(recorded, cells=cells))] == ["aggregate"] * drifted
    (cell,) = recorded.cells
    rounded = cell.model_copy(update={"value": cell.value + 1e-13, "cached": 3})
    assert find_drifts(recorded, replace(recorded, cells=(rounded,))) == []
    (drift,) = find_drifts(recorded, replace(recorded, cells=(cell.model_copy(update={"ci_low": 0.1}),)))
    assert "ci_low 0.1" in drift.now
    (drift,) = find_drifts(recorded, replace(recorded, cells=()))
    assert drift.now == "no such cell"


def test_diff_shows_control_characters_and_a_final_line_break():
    text = unified("a\nb", "a\nb\x1b[31m\n")
    assert "\x1b" not in text and "+b⟨U+001B⟩[31m" in text.splitlines() and text.splitlines()[-1] == "+"
