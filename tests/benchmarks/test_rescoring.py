"""An edited score is not believed: out of its metric's range it is refused, within it it is scored again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.protocol import Outcome

from .conftest import Command

pytestmark = pytest.mark.usefixtures("home", "tokenizers")
FEW_SHOT = (
    "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--data", "photos", "--setting", "i1-s1-r0",
    "--limit", "12", "--out", "out",
)  # fmt: skip
CAPTIONS = (
    "run", "--task", "coco-captioning", "--tokenizer", "colours", "--setting", "shots=1", "--limit", "6",
    "--out", "out",
)  # fmt: skip


def edit(name: str, change: Callable[[dict[str, Any]], None], number: int = 0) -> None:
    """Changes one line of a file of the run."""
    path = Path("out", name)
    lines = path.read_text().splitlines()
    values = json.loads(lines[number])
    change(values)
    lines[number] = json.dumps(values)
    path.write_text("\n".join(lines) + "\n")


def flip(record: dict[str, Any]) -> None:
    record["scores"]["accuracy"] = 1.0 - record["scores"]["accuracy"]


@pytest.mark.parametrize("value", [7.0, -1e-3, 1e308])
@pytest.mark.parametrize("again", ["run", "report", "verify", "baseline"])
def test_a_score_out_of_range_is_refused(
    photos: Path, script: Callable[..., str], command: Command, value: float, again: str
) -> None:
    run = (*FEW_SHOT, "--scoring", "exact", "--llm", script())
    assert command(*run)[0] == 0
    edit("records.jsonl", lambda record: record["scores"].update(accuracy=value))
    arguments = {
        "run": run,
        "report": ("report", "out"),
        "verify": ("report", "out", "--verify"),
        "baseline": ("baseline", "out", "--out", "kept"),
    }
    code, out, err = command(*arguments[again])
    assert code == 2 and err.count("\n") == 1
    assert "accuracy of miniimagenet-2way lies in 0 to 1" in err and f"{value:g}" in err and "%" not in out


@pytest.mark.parametrize("scoring", ["exact", "prefix", "contains", "ranked"])
def test_an_edited_score_is_scored_again(
    photos: Path, script: Callable[..., str], command: Command, scoring: str
) -> None:
    run = (*FEW_SHOT, "--scoring", scoring, "--llm", script())
    assert command(*run)[0] == 0
    records = Path("out/records.jsonl").read_bytes()
    _, sound, _ = command("report", "out", "--format", "csv")
    code, _, err = command("report", "out", "--verify")
    assert code == 0 and err.splitlines()[-1].startswith("12 records scored again (12 from stored replies")
    edit("records.jsonl", flip)
    code, out, err = command("report", "out", "--format", "csv", "--verify")
    assert code == 1 and out == sound and "1 differ" in err and "scores {'accuracy': " in err
    code, out, _ = command("report", "out")
    assert code == 0 and "1 record did not hold the score of its reply" in out
    assert Path("out/records.jsonl").read_bytes() != records, "a report changes nothing"
    code, out, _ = command(*run)
    assert code == 0 and "scored again" in out and Path("out/records.jsonl").read_bytes() == records


def test_an_edited_reply_is_found_by_the_stored_one(photos: Path, script: Callable[..., str], command: Command) -> None:
    assert command(*FEW_SHOT, "--scoring", "exact", "--llm", script())[0] == 0

    def answer_rightly(record: dict[str, Any]) -> None:
        record |= {"reply": record["target"], "prediction": record["target"], "scores": {"accuracy": 1.0}}

    wrong = [json.loads(line)["scores"]["accuracy"] for line in Path("out/records.jsonl").read_text().splitlines()]
    edit("records.jsonl", answer_rightly, wrong.index(0.0))
    assert command("report", "out")[1].count("scored again") == 0, "the record by itself is sound"
    code, out, err = command("report", "out", "--verify")
    assert code == 1 and "' lion\\n'" in err and "scored again" in out


def test_an_edited_caption_score_and_corpus_metric(
    script: Callable[..., str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.captioning.metrics.shutil.which", lambda name: None)  # METEOR starts Java each time
    run = (*CAPTIONS, "--llm", script(default=" a lion and a vase\n"))
    assert command(*run)[0] == 0
    sound = json.loads(Path("out/metrics.json").read_text())

    def change(value: float) -> None:
        changed = json.loads(json.dumps(sound))
        cell = next(cell for cell in changed["cells"] if cell["metric"] == "CIDEr-D")
        cell["value"] = value
        Path("out/metrics.json").write_text(json.dumps(changed))

    change(10.5)
    code, _, err = command("report", "out")
    assert code == 2 and "CIDEr-D of coco-captioning lies in 0 to 10, got 10.5" in err
    change(9.5)
    code, _, err = command("report", "out", "--verify")
    assert code == 1 and "differs: CIDEr-D of colours" in err and "9.5 instead of" in err
    Path("out/metrics.json").write_text(json.dumps(sound))
    edit("records.jsonl", lambda record: record["scores"].update({"ROUGE-L": 0.99}))
    code, _, err = command("report", "out", "--verify")
    assert code == 1 and "0.99" in err


def test_what_cannot_be_scored_again_is_counted(photos: Path, script: Callable[..., str], command: Command) -> None:
    assert command(*FEW_SHOT, "--scoring", "exact", "--llm", script())[0] == 0
    Path("out/episodes-miniimagenet-2way.json").unlink()
    code, _, err = command("report", "out", "--verify")
    assert code == 0 and "not verified: 12 records" in err and "0 records scored again" in err


def test_cache_file_belongs_to_verify(command: Command) -> None:
    code, _, err = command("report", "out", "--cache-file", "x.jsonl")
    assert code == 2 and "--verify" in err


def test_a_task_that_scores_out_of_range_is_named(
    photos: Path, script: Callable[..., str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = Outcome(status="scored", scores={"accuracy": 2.0}, prediction="lion", reply="lion")
    monkeypatch.setattr("tasks.scoring.score_text", lambda *_: twice)
    code, _, err = command(*FEW_SHOT, "--scoring", "exact", "--llm", script())
    assert code == 2 and "accuracy of miniimagenet-2way lies in 0 to 1, got 2" in err
