"""Injected failures of a script: by number, by rate, and as a run meets them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from llm_backends.cache.cached_backend import CachedBackend
from llm_backends.errors import (
    BackendError,
    BackendInputError,
    BackendUnavailable,
    BudgetSpent,
    CallFailed,
    PromptTooLong,
)
from llm_backends.options import NoOptions
from llm_backends.protocol import Completion, CompletionRequest, Request, Streams
from llm_backends.scripted.backend import ScriptedBackend, open_scripted
from llm_backends.scripted.injected_failures import InjectedFailures, Kind


def opened(folder: Path, failures: dict[str, Any], name: str = "s") -> ScriptedBackend:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"default": " lion", "failures": failures}))
    return open_scripted(str(path), dtype="float32", device="auto", options=NoOptions())


def asks(count: int) -> list[Request]:
    return [CompletionRequest(prompt=f"Q{i}", max_new_tokens=3) for i in range(count)]


def test_a_failure_by_number_affects_no_other_request(tmp_path: Path) -> None:
    model = opened(tmp_path, {"3": "timeout", "5": {"error": "cut", "message": "the cat sat on the cable"}})
    assert isinstance(model, Streams)
    answers = CachedBackend(lambda: model, model.identity).ask(asks(6))
    assert [type(answer.error).__name__ for answer in answers] == [
        "NoneType", "NoneType", "CallFailed", "NoneType", "CallFailed", "NoneType",
    ]  # fmt: skip
    assert "within the time" in str(answers[2].error) and "cat" in str(answers[4].error)


def test_failures_by_rate_are_deterministic(tmp_path: Path) -> None:
    def failed(seed: int) -> list[int]:
        model = opened(tmp_path, {"rate": 0.3, "seed": seed, "2": "failed"})
        assert isinstance(model, Streams)
        return [index for index, reply in model.stream(asks(400)) if isinstance(reply, CallFailed)]

    first = failed(1)
    assert 80 < len(first) < 160 and 1 in first
    assert failed(1) == first != failed(2)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_raises_the_error_of_a_server(kind: Kind) -> None:
    expected = {"too-long": PromptTooLong, "unavailable": BackendUnavailable, "budget": BudgetSpent}.get(
        kind, CallFailed
    )
    found = InjectedFailures.model_validate({"1": kind}).of(1)
    assert type(found) is expected and str(found)
    assert InjectedFailures.model_validate({"1": kind}).of(2) is None


@pytest.mark.parametrize("kind", ["unavailable", "budget"])
def test_what_ends_a_run_keeps_earlier_replies(tmp_path: Path, kind: str) -> None:
    model = opened(tmp_path, {"3": kind})
    assert isinstance(model, Streams)
    got = []
    with pytest.raises((BackendUnavailable, BudgetSpent)):
        for _, reply in model.stream(asks(5)):
            got.append(reply)
    assert len(got) == 2 and all(isinstance(reply, Completion) for reply in got)


def test_failures_do_not_change_the_identity(tmp_path: Path) -> None:
    assert opened(tmp_path, {"rate": 1.0}).identity == opened(tmp_path, {}).identity
    assert not isinstance(opened(tmp_path, {}), Streams)


def test_requests_can_be_delayed(tmp_path: Path) -> None:
    started = time.monotonic()
    opened(tmp_path, {"seconds": 0.05}).complete([CompletionRequest(prompt="Q", max_new_tokens=1)])
    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize(
    "failures",
    [{"0": "cut"}, {"3": "explode"}, {"rate": 1.5}, {"rate": -0.1}, {"kinds": []}, {"kinds": ["x"]}, {"often": 1},
     {"3": {"message": "m"}}, {"-1": "cut"}, ["cut"], {"seconds": -1}],
)  # fmt: skip
def test_invalid_failures_are_refused(tmp_path: Path, failures: Any) -> None:
    with pytest.raises((BackendInputError, BackendError), match="failures"):
        opened(tmp_path, failures)
