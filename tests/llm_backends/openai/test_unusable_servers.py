"""Servers that will answer nothing, as seen in use: the run ends soon, with the reason."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

import llm_backends.openai.rate_limit
from llm_backends.errors import BackendError, BackendUnavailable, CallFailed
from llm_backends.openai.backend import FIRST_OPEN, LEFT_OUT, OpenAIBackend
from llm_backends.openai.calls import FRUITLESS_CALLS, FRUITLESS_REQUESTS
from llm_backends.openai.options import ServerOptions
from llm_backends.protocol import Completion, CompletionRequest
from tests.llm_backends.openai_server import FaultServer, Seen, answer_to

ASKED = [CompletionRequest(prompt=f"Q{i}", max_new_tokens=7) for i in range(60)]
Open = Callable[..., OpenAIBackend]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(llm_backends.openai.rate_limit, "FIRST_WAIT", 0.01)
    running = FaultServer()
    yield running
    running.close()


@pytest.fixture
def opened(server: FaultServer) -> Iterator[Open]:
    backends = []

    def open_one(model: str = "m", **options: object) -> OpenAIBackend:
        backends.append(OpenAIBackend(model, ServerOptions(**({"base_url": server.url} | options))))  # type: ignore[arg-type]
        return backends[-1]

    yield open_one
    for backend in backends:
        backend.close()


def refusing(status: int, words: str, **more: object) -> Callable[[Seen], tuple[int, bytes, dict[str, str]]]:
    return lambda seen: (status, json.dumps({"error": {"message": words} | more}).encode(), {})


SETUP = [
    pytest.param(400, "{'error': '/completions: Invalid model name passed in model=m'}", id="litellm"),
    pytest.param(400, "Server is pinned to 'HuggingFaceTB/SmolLM2'; requested model 'm' is refused", id="transformers"),
    pytest.param(400, "The model `m` does not exist.", id="vLLM with 400"),
    pytest.param(422, "model 'm' not found, try pulling it first", id="ollama"),
    pytest.param(400, "Authentication Error, Invalid proxy server token passed. Received API Key", id="proxy key"),
    pytest.param(500, "litellm.AuthenticationError: OpenAIException - Incorrect API key provided", id="key behind"),
    pytest.param(403, "no access", id="403"),
    pytest.param(501, "Unsupported method ('POST')", id="501"),
    pytest.param(400, "The plain HTTP request was sent to HTTPS port", id="nginx"),
    pytest.param(400, "Client sent an HTTP request to an HTTPS server.", id="Go"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "words"), SETUP)
def test_a_wrong_model_key_or_address_ends_the_run_at_once(
    server: FaultServer, opened: Open, status: int, words: str
) -> None:
    server.behaviour.refuse = refusing(status, words)
    with pytest.raises(BackendUnavailable, match=f"answers {status} .*check base_url"):
        list(opened(concurrency=1).stream(ASKED))
    assert len(server.seen) == 1


@pytest.mark.parametrize(("status", "words"), SETUP)
def test_the_same_words_after_an_answer_fail_one_request(
    server: FaultServer, opened: Open, status: int, words: str
) -> None:
    refuse = refusing(status, words)
    server.behaviour.refuse = lambda seen: refuse(seen) if seen.prompt == "Q1" else None
    ends = dict(opened(concurrency=1).stream(ASKED[:3]))
    assert isinstance(ends[1], CallFailed) and ends[1].lasting and isinstance(ends[2], Completion)
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [502, 503])
def test_a_model_that_is_not_loaded_yet_is_asked_again(server: FaultServer, opened: Open, status: int) -> None:
    answers = iter([refusing(status, "The model is not loaded")] * 3)
    server.behaviour.refuse = lambda seen: refuse(seen) if (refuse := next(answers, None)) else None
    assert opened().complete(ASKED[:1])[0].text == answer_to("Q0")


def test_a_base_url_without_v1_is_named(server: FaultServer, opened: Open) -> None:
    """llama.cpp answers /completions with 200 in its own format."""
    server.behaviour.refuse = lambda seen: (200, b'{"content": " lion", "tokens_predicted": 2}', {})
    with pytest.raises(BackendUnavailable, match=r"no choices; check base_url \(does it end in /v1\?\)"):
        list(opened(concurrency=1, base_url=server.url.removesuffix("/v1")).stream(ASKED))
    assert len(server.seen) == 1


@pytest.mark.parametrize("fault", ["hang", "cut head", "cut body", "invalid json", "empty choices", "content type"])
def test_a_server_that_never_answers_ends_the_run(server: FaultServer, opened: Open, fault: str) -> None:
    server.behaviour.plan = [fault] * 1000
    server.behaviour.hang = 5.0
    backend = opened(concurrency=8, timeout=0.1 if fault == "hang" else 20.0)
    with pytest.raises(BackendUnavailable, match=r"has given no usable answer in \d+ calls: .*\(is it https\?\)"):
        list(backend.stream(ASKED))
    assert backend.usage.calls < FRUITLESS_CALLS + FIRST_OPEN


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_dead_upstream_ends_the_run(server: FaultServer, opened: Open, status: int) -> None:
    server.behaviour.refuse = refusing(status, "Connection error.. Received Model Group=m")
    with pytest.raises(BackendUnavailable, match=rf"in 3 requests: .* {status} \(Connection error"):
        list(opened(concurrency=8).stream(ASKED))
    assert len(server.seen) <= (FRUITLESS_REQUESTS - 1 + FIRST_OPEN) * 6


def test_throttling_alone_does_not_end_a_run(server: FaultServer, opened: Open) -> None:
    server.behaviour.plan = ["429"] * 30
    ends = dict(opened(concurrency=4, max_attempts=20).stream(ASKED))
    assert all(isinstance(end, Completion) for end in ends.values())


def test_https_of_an_http_port(server: FaultServer, opened: Open) -> None:
    with pytest.raises(BackendUnavailable, match=r"no secure connection .*write http://"):
        list(opened(base_url=server.url.replace("http:", "https:")).stream(ASKED))


def test_http_of_a_tls_port(opened: Open) -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    def alert() -> None:
        while True:
            try:
                line = listening.accept()[0]
            except OSError:
                return
            with line:
                line.recv(65536)
                line.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

    threading.Thread(target=alert, daemon=True).start()
    with pytest.raises(BackendUnavailable, match=r"\(is it https\?\)"):
        list(opened(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}/v1").stream(ASKED))
    listening.close()


@pytest.mark.parametrize("api", ["completions", "chat"])
@pytest.mark.parametrize(
    "words",
    [
        "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) is supported.",
        "`temperature` must be strictly positive",
        "litellm.UnsupportedParamsError: gpt-5 models don't support temperature=0.0. Only temperature=1 is supported.",
    ],
)
def test_a_refused_temperature_of_0_is_left_out_and_recorded(
    server: FaultServer, opened: Open, words: str, api: str
) -> None:
    server.behaviour.refuse = lambda seen: refusing(400, words)(seen) if "temperature" in seen.body else None
    backend = opened(concurrency=1, api=api)
    assert [one.text for one in backend.complete(ASKED[:3])] == [answer_to(f"Q{i}") for i in range(3)]
    assert [seen.body.get("temperature") for seen in server.seen] == [0.0, None, None, None]
    assert backend.usage.adjustments == {LEFT_OUT["temperature"]: 3}
    # One above 0 is what the run asks for: it cannot be left out.
    ((_, end),) = backend.stream([ASKED[3].model_copy(update={"temperature": 0.7})])
    assert isinstance(end, CallFailed) and end.lasting and server.seen[-1].body["temperature"] == 0.7


def test_refused_stop_strings_are_left_out_and_cut_here(server: FaultServer, opened: Open) -> None:
    words = "Unsupported parameter: 'stop' is not supported with this model."
    server.behaviour.refuse = lambda seen: refusing(400, words)(seen) if "stop" in seen.body else None
    server.behaviour.reply = lambda prompt, seed: " lion\nInput: x"
    backend = opened(concurrency=1)
    asked = [one.model_copy(update={"stop": ("\n",)}) for one in ASKED[:2]]
    assert [one.text for one in backend.complete(asked)] == [" lion", " lion"]
    assert len(server.seen) == 3 and backend.usage.adjustments == {LEFT_OUT["stop"]: 2}


def test_a_field_that_is_refused_for_good_is_not_asked_again(server: FaultServer, opened: Open) -> None:
    server.behaviour.refuse = refusing(400, "temperature is odd, whatever it is")
    ends = dict(opened(concurrency=1).stream(ASKED[:3]))
    assert all(isinstance(end, CallFailed) and end.lasting for end in ends.values()) and len(server.seen) == 4


@pytest.mark.parametrize(
    ("choice", "words"),
    [({"text": None}, "no text"), ({"text": 5}, "not the protocol's"), ({"message": {"content": "a"}}, "no text")],
)
def test_an_answer_of_another_form_is_not_asked_again(
    server: FaultServer, opened: Open, choice: dict[str, object], words: str
) -> None:
    body = json.dumps({"choices": [choice | {"finish_reason": "stop"}]}).encode()
    server.behaviour.refuse = lambda seen: (200, body, {})
    found: list[BackendError] = [end for _, end in opened().stream(ASKED[:3]) if isinstance(end, BackendError)]
    assert len(found) == 3 and len(server.seen) == 3
    assert all(isinstance(end, CallFailed) and end.lasting and words in str(end) for end in found)
