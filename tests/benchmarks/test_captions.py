"""Captioning and COCO-QA from files in the published formats to the report, by the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.conftest import Command
from tests.coco_fixtures import write_captions, write_coco_qa


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR takes its Java machine a minute on a busy machine; tests/tasks asks it once."""
    monkeypatch.setattr("tasks.captioning.metrics.java_problem", lambda: "there is no `java` here")


def test_captions_by_layers_from_json_to_report(home, tokenizers, script, command: Command) -> None:
    write_captions(home / "coco")
    code, out, err = command(
        "run", "--task", "coco-captioning", "--data", "coco", "--tokenizer", "colours", "--layers", "1", "--layers",
        "1-2", "--llm", script(default=" A cat <b>sits</b> by number 3.\nQ: and more"), "--limit", 8, "--out", "out",
    )  # fmt: skip
    assert (code, err) == (0, ""), err
    records = [json.loads(line) for line in Path("out/records.jsonl").read_text().splitlines()]
    assert len(records) == 16 and {record["scoring"] for record in records} == {"rouge-l"}
    assert {len(record["references"]) for record in records} == {5}
    assert {tuple(record["scores"]) for record in records} == {("ROUGE-L",)}
    assert {record["prediction"] for record in records} == {"A cat <b>sits</b> by number 3."}
    summary = json.loads(Path("out/summary.json").read_text())
    first = {cell["metric"]: cell for cell in summary if cell["layers"] == "1"}
    assert list(first) == ["ROUGE-L", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "CIDEr-D", "SPICE"]
    assert first["METEOR"]["value"] is None and first["CIDEr-D"]["value"] > 0 and first["CIDEr-D"]["ci_low"] is not None
    # The mean of the records' own scores is the corpus's ROUGE-L.
    mean = sum(record["scores"]["ROUGE-L"] for record in records if record["layers"] == "1") / 8
    assert first["ROUGE-L"]["value"] == pytest.approx(mean, abs=1e-12)
    page, text = Path("out/report.html").read_text(), Path("out/report.md").read_text()
    assert "<b>sits</b>" not in page and "&lt;b&gt;sits" in page and "stands near number" in page
    assert "n/a, METEOR: there is no" in text and "BLEU-4" in text and "BLEU-4" in out


def test_further_metrics_are_of_the_records_there_are(home, tokenizers, script, command: Command) -> None:
    write_captions(home / "coco")
    run = ("run", "--task", "coco-captioning", "--data", "coco", "--tokenizer", "flat", "--layers", "1", "--limit", 3,
           "--llm", script(default=" A dog."), "--out", "out")  # fmt: skip
    assert command(*run)[0] == 0
    lines = Path("out/records.jsonl").read_text().splitlines()
    Path("out/records.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    code, out, _ = command("report", "out", "--format", "csv")
    assert code == 0 and "BLEU" not in out and "ROUGE-L" in out
    assert command(*run)[0] == 0
    assert "BLEU" in command("report", "out", "--format", "csv")[1]


def test_coco_qa_from_text_files_to_report(home, tokenizers, script, command: Command, monkeypatch) -> None:
    write_coco_qa(home / "cocoqa")
    monkeypatch.setenv("SPAE_WORDNET", str(home / "nowhere"))
    code, _, err = command(
        "run", "--task", "coco-qa", "--data", "cocoqa", "--tokenizer", "flat", "--layers", "1", "--scoring", "exact",
        "--llm", script(default=" cat\n"), "--limit", 13, "--out", "out",
    )  # fmt: skip
    assert (code, err) == (0, ""), err
    records = [json.loads(line) for line in Path("out/records.jsonl").read_text().splitlines()]
    assert len(records) == 13 and sum(record["scores"]["accuracy"] for record in records) == 1
    assert {len(set(record["choices"])) for record in records} == {10}
    assert r"n/a, WUPS@0.9: SPAE\_WORDNET must be a folder" in Path("out/report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--task", "coco-captioning", "--data", "pictograms"), "has no captions", id="pictograms"),
        pytest.param(("--task", "coco-qa", "--data", "mnist"), "has no questions", id="digits"),
        pytest.param(("--task", "coco-captioning", "--data", "photos"), "a folder of captions has one", id="folder"),
        pytest.param(("--task", "coco-captioning", "--data", "x.json"), "no caption file or folder", id="no-file"),
        pytest.param(
            ("--task", "coco-captioning", "--data", "coco", "--setting", "shots=40"), "--setting shots=14", id="shots"
        ),
        pytest.param(
            ("--task", "coco-captioning", "--data", "coco", "--scoring", "exact"), "--scoring rouge-l", id="scoring"
        ),
        pytest.param(
            ("--task", "coco-captioning,coco-qa", "--data", "coco"), "have no scoring in common", id="two-tasks"
        ),
    ],
)
def test_wrong_data_and_options_are_one_line(
    home, photos, tokenizers, script, command: Command, arguments: tuple[str, ...], said: str
) -> None:
    write_captions(home / "coco")
    code, _, err = command("run", *arguments, "--tokenizer", "flat", "--layers", "1", "--llm", script())
    assert code == 2 and said in err and err.count("\n") == 1, err
