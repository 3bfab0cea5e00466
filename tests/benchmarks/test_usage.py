"""usage.json: sums over all commands of a run's folder; not written if nothing was used."""

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
    """A backend with a settable usage."""

    usage = Usage()


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "out", {"a": 1})


def used(calls: int) -> Counting:
    backend = Counting()
    backend.usage = Usage(answers=calls, calls=calls, prompt_tokens=10 * calls)
    return backend


def test_usage_of_commands_adds_up(store: RunStore) -> None:
    first = UsageFile(store, used(3))
    first.save()
    first.save()  # the same command: its calls count once
    second = UsageFile(store, used(2))
    second.save()
    found = json.loads((store.folder / USAGE).read_text())
    assert (found["total"]["calls"], found["last"]["calls"]) == (5, 2)
    assert first.summary.count("\n") == 0 and "all earlier commands: 5 answers in 5 calls" in second.summary


def test_slow_paths_of_a_local_model_are_written_and_added_up(store: RunStore) -> None:
    for _ in range(2):
        backend = Counting()
        backend.usage = Usage(slow_paths={"no prefix cache": 3})
        UsageFile(store, backend).save()
    found = json.loads((store.folder / USAGE).read_text())
    assert found["total"]["slow_paths"] == {"no prefix cache": 6}
    assert found["last"]["slow_paths"] == {"no prefix cache": 3}


def test_file_is_written_during_the_run(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = used(1)
    file = UsageFile(store, backend)
    file.tick()
    assert not (store.folder / USAGE).exists()
    monkeypatch.setattr(benchmarks.usage, "SAVE_SECONDS", -1.0)
    file.tick()
    assert json.loads((store.folder / USAGE).read_text())["total"]["calls"] == 1


@pytest.mark.parametrize("backend", [ScriptedBackend(), Counting()], ids=["does not count", "asked nothing"])
def test_no_usage_writes_no_file(store: RunStore, backend: ScriptedBackend) -> None:
    file = UsageFile(store, backend)
    file.save()
    assert file.summary == "" and not (store.folder / USAGE).exists()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 1, "total": {"calls": -1}, "last": {}}'])
def test_broken_file_is_refused(store: RunStore, content: str) -> None:
    store.write_text(USAGE, content)
    with pytest.raises(UsageError, match=r"usage\.json"):
        UsageFile(store, used(1))
