"""usage.json: sums over all commands of a run's folder, and is not there where nothing was spent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import benchmarks.usage
from benchmarks.errors import UsageError
from benchmarks.usage import USAGE, UsageFile
from llm_backends.scripted.backend import ScriptedBackend
from llm_backends.usage import Usage
from results.store import RunStore


class Counting(ScriptedBackend):
    """Says that it used what it is told."""

    usage = Usage()


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "out", {"a": 1})


def used(calls: int) -> Counting:
    backend = Counting()
    backend.usage = Usage(answers=calls, calls=calls, prompt_tokens=10 * calls)
    return backend


def test_commands_add_up(store: RunStore) -> None:
    first = UsageFile(store, used(3))
    first.save()
    first.save()  # the same command, still the same calls
    second = UsageFile(store, used(2))
    second.save()
    found = json.loads((store.folder / USAGE).read_text())
    assert (found["total"]["calls"], found["last"]["calls"]) == (5, 2)
    assert first.summary.count("\n") == 0 and "all earlier commands: 5 answers in 5 calls" in second.summary


def test_it_is_written_while_the_run_goes_on(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = used(1)
    usage = UsageFile(store, backend)
    usage.tick()
    assert not (store.folder / USAGE).exists()
    monkeypatch.setattr(benchmarks.usage, "SAVE_SECONDS", -1.0)
    usage.tick()
    assert json.loads((store.folder / USAGE).read_text())["total"]["calls"] == 1


@pytest.mark.parametrize("backend", [ScriptedBackend(), Counting()], ids=["does not count", "asked nothing"])
def test_nothing_spent_leaves_nothing(store: RunStore, backend: ScriptedBackend) -> None:
    usage = UsageFile(store, backend)
    usage.save()
    assert usage.summary == "" and not (store.folder / USAGE).exists()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 1, "total": {"calls": -1}, "last": {}}'])
def test_a_file_that_is_none_is_refused(store: RunStore, content: str) -> None:
    store.write_text(USAGE, content)
    with pytest.raises(UsageError, match=r"usage\.json"):
        UsageFile(store, used(1))
