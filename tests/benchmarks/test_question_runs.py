"""`run --task real-fast-vqa`, from the published archive and from the scenes, to records, tables and report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.spae.data.vqa_files import packed, rows, write_archive

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("pack", [pytest.param(False, id="folder"), pytest.param(True, id="tar.gz")])
def test_an_archive_end_to_end(
    home: Path, tokenizers: dict[str, object], script: Callable[..., str], command: Command, pack: bool
) -> None:
    root = write_archive(home, {1: rows(1), 3: rows(3), 5: rows(5)})
    out = home / "out"
    code, said, errors = command(
        "run", "--task", "real-fast-vqa", "--data", packed(root) if pack else root, "--tokenizer", "colours",
        "--llm", script(default=" Table.\n"), "--scoring", "exact,normalised", "--shuffle-images", "--out", out,
    )  # fmt: skip
    assert code == 0, said + errors
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert len(records) == 3 * 3 * 2 * 2  # settings, questions, rules, shuffled or not
    right = {(one["target"], one["scoring"]): one["scores"]["accuracy"] for one in records}
    assert right["table", "exact"] == 0.0 and right["table", "normalised"] == 1.0 and right["two", "normalised"] == 0.0
    one = next(r for r in records if r["sample_id"] == "vqa-s1-0000" and not r.get("shuffled"))
    lines = one["prompt"].splitlines()
    assert [line for line in lines if not line.startswith("C: word")] == [
        "Answer with a single word.", "Q: What is this?", "A: fork", "Q: What is this?", "A: lion",
        "Q: Where is the fork?", "A:",
    ]  # fmt: skip
    assert [lines.index(line) for line in lines if line.startswith("C: word")] == [1, 4, 7]
    report = (out / "report.md").read_text()
    assert "NOT" not in report.split("## ")[0]  # the user's own data stand in for nothing
    assert "By question type" in report and "how many" in report
    assert "in per cent: 100.0 (shots=1), 100.0 (shots=3), 100.0 (shots=5)" in report
    assert "colours (shuffled)" in (out / "report.html").read_text()


def test_scenes_end_to_end(
    home: Path, tokenizers: dict[str, object], script: Callable[..., str], command: Command
) -> None:
    out = home / "out"
    code, said, errors = command(
        "run", "--task", "real-fast-vqa", "--tokenizer", "colours,flat", "--llm", script(), "--setting", "shots=1",
        "--scoring", "ranked", "--limit", 12, "--out", out,
    )  # fmt: skip
    assert code == 0, said + errors
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert len(records) == 24 and {len(one["choices"]) for one in records} == {2}
    html, markdown = (out / "report.html").read_text(), (out / "report.md").read_text()
    for page in (html, markdown):
        assert "NOT COCO, not VQA" in page and "mini-ImageNet" not in page.replace("the paper, on mini-ImageNet", "")
        for kind in ("colour", "how-many", "side", "what"):
            assert kind in page
    assert "<b>Not COCO, not VQA.</b>" in html
    manifest = json.loads((out / "episodes-real-fast-vqa.json").read_text())
    assert {one["kind"] for one in manifest["samples"]} == {"colour", "how-many", "side", "what"}
    again = home / "again"
    code, said, errors = command(
        "run", "--task", "real-fast-vqa", "--tokenizer", "flat", "--llm", script(), "--scoring", "ranked",
        "--manifest", out / "episodes-real-fast-vqa.json", "--out", again,
    )  # fmt: skip
    assert code == 0, said + errors
    assert (again / "episodes-real-fast-vqa.json").read_text() == (out / "episodes-real-fast-vqa.json").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scoring", "ranked"], "needs answers to choose from"),
        (["--scoring", "exact", "--setting", "shots=5"], "has no questions of 5 shots: pass --setting shots=1"),
        (["--scoring", "exact", "--setting", "shots=2"], "unknown setting 'shots=2'"),
        (["--scoring", "fuzzy"], "has no scoring 'fuzzy'"),
    ],
)
def test_what_cannot_be_asked(
    home: Path,
    tokenizers: dict[str, object],
    script: Callable[..., str],
    command: Command,
    options: list[str],
    message: str,
) -> None:
    root = write_archive(home, {1: rows(1)})
    setting = [] if "--setting" in options else ["--setting", "shots=1"]
    code, _, errors = command(
        "run", "--task", "real-fast-vqa", "--data", root, "--tokenizer", "colours", "--llm", script(), *setting,
        *options, "--out", home / "out",
    )  # fmt: skip
    assert code == 2 and message in errors and errors.count("\n") == 1
