"""What a server says of its models is asked once, and used."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_backends.errors import BackendUnavailable, PromptTooLong
from llm_backends.openai.backend import UNLISTED, OpenAIBackend
from llm_backends.openai.model_list import ModelList, read_models
from llm_backends.openai.options import ServerOptions
from llm_backends.protocol import Completion, CompletionRequest
from tests.llm_backends.openai_server import FaultServer

ASK = CompletionRequest(prompt="Q", max_new_tokens=7)
Open = Callable[..., OpenAIBackend]


def body(*models: Any) -> bytes:
    return json.dumps({"object": "list", "data": models}).encode()


@pytest.fixture
def opened(server: FaultServer) -> Iterator[Open]:
    backends = []

    def open_one(model: str = "m", **options: object) -> OpenAIBackend:
        backends.append(OpenAIBackend(model, ServerOptions(base_url=server.url, **options)))  # type: ignore[arg-type]
        return backends[-1]

    yield open_one
    for backend in backends:
        backend.close()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (body({"id": "a", "max_model_len": 4096}, {"id": "b"}), ModelList(("a", "b"), {"a": 4096})),
        (body({"id": "a", "context_length": 8192}), ModelList(("a",), {"a": 8192})),
        (body({"id": "a", "max_model_len": "4096"}), ModelList(("a",), {})),
        (body({"id": "a", "max_model_len": -1}), ModelList(("a",), {})),
        (b'[{"id": "a"}]', ModelList(("a",), {})),
        (body({"name": "a"}, 5, None), ModelList((), {})),
        (b'{"data": {}}', None),
        (b"{}", None),
        (b"<html>", None),
        (b"[" * 100_000, None),
    ],
)
def test_lists_of_models(content: bytes, expected: ModelList | None) -> None:
    assert read_models(content) == expected


def test_a_missing_model_is_told_with_the_nearest() -> None:
    listed = ModelList(tuple(f"model-{i}" for i in range(9)), {})
    assert listed.missing("model-3") == "" and ModelList((), {}).missing("a") == ""
    said = listed.missing("modell-8")
    assert said == (
        "it lists 'model-0', 'model-1', 'model-2', 'model-3', 'model-4' and 4 more; did you mean 'model-8'?"
    )


def test_the_list_is_asked_for_once(server: FaultServer, opened: Open) -> None:
    backend = opened()
    for prompt in ("a", "b"):
        backend.complete([ASK.model_copy(update={"prompt": prompt})])
    assert server.lists == 1 and backend.usage.calls == 2 and not backend.usage.adjustments


def test_a_refusal_names_what_the_server_has(server: FaultServer, opened: Open) -> None:
    server.behaviour.refuse = lambda seen: (404, b'{"error": {"message": "no such model"}}', {})
    with pytest.raises(BackendUnavailable, match=r"no such model.*; it lists 'm'"):
        opened("other").complete([ASK])


def test_another_model_that_answers_all_the_same_is_recorded(
    server: FaultServer, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    backend = opened("m2")
    with caplog.at_level(logging.WARNING):
        backend.complete([ASK, ASK])
    assert backend.usage.adjustments == {UNLISTED: 2}
    assert [one.getMessage() for one in caplog.records if "does not list the model 'm2'" in one.getMessage()]


@pytest.mark.parametrize("answer", [(404, b""), (500, b"x"), (200, b"<html>"), (401, b""), (200, b'{"data": []}')])
def test_a_server_without_a_list_is_asked_all_the_same(
    server: FaultServer, opened: Open, answer: tuple[int, bytes]
) -> None:
    server.behaviour.models = answer
    backend = opened()
    assert len(backend.complete([ASK])) == 1 and not backend.usage.adjustments


def test_prompts_over_the_stated_context_are_not_sent(
    server: FaultServer, opened: Open, plain_tokenizer_folder: Path
) -> None:
    server.behaviour.models = (200, body({"id": "m", "max_model_len": 50}))
    long = ASK.model_copy(update={"prompt": "lion " * 100})
    ends = dict(opened(tokenizer=plain_tokenizer_folder).stream([long, ASK]))
    assert isinstance(ends[0], PromptTooLong) and "states that m takes 50" in str(ends[0])
    assert isinstance(ends[1], Completion) and len(server.seen) == 1
    # Without the model's tokenizer its tokens are a guess, so the server decides.
    assert isinstance(dict(opened().stream([long]))[0], Completion)
