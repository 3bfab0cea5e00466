"""The main job from what is committed: weights, replies and images, with no model asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.reply_sources import committed_replies
from benchmarks.session import RunOptions, run_benchmark


def options(out: Path, limit: int, task: str = "miniimagenet-5way") -> RunOptions:
    return RunOptions(
        tasks=(task,), tokenizers=("spae", "vqgan"), llm="smollm2", data=None, settings=None, layers=("1-2",),
        scorings=("ranked",), prompt_style="gpt", limit=limit, seed=0, dtype="float32", out=out, mode="cache-only",
        resume=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("task", ["miniimagenet-5way", "miniimagenet-2way"])
def test_demo_runs_from_stored_replies_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    # No reply may come from a store that an earlier run on this machine left behind.
    monkeypatch.setattr("benchmarks.reply_sources.cache_folder", lambda: tmp_path / "empty")
    assert committed_replies(), "no replies are committed under results/replies"
    run_benchmark(options(tmp_path / "out", limit=3, task=task))
    cells = json.loads((tmp_path / "out" / "summary.json").read_text())
    settings = {cell["setting"] for cell in cells}
    assert len(settings) == 8 and "average" in settings
    assert {cell["tokenizer"] for cell in cells} == {"spae", "vqgan"}
    for cell in cells:
        if cell["setting"] != "average":
            assert (cell["n"], cell["scored"], cell["cached"]) == (3, 3, 3)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "NOT mini-ImageNet" in page
