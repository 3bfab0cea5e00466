"""One call: its headers and URL, the words of a refusal, and its timeout."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest

import llm_backends.openai.options
import llm_backends.openai.rate_limit
from llm_backends.errors import CallFailed
from llm_backends.openai.backend import OpenAIBackend
from llm_backends.openai.options import Api, ServerOptions
from llm_backends.protocol import CompletionRequest, LikelihoodRequest
from tests.llm_backends.openai_server import FaultServer, answer_to

KEY = "sk-secret/0123456789+abcdef"
ASK = CompletionRequest(prompt="Q", max_new_tokens=7)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(llm_backends.openai.rate_limit, "FIRST_WAIT", 0.01)
    running = FaultServer()
    yield running
    running.close()


def end_of(options: ServerOptions) -> object:
    """The reply to one request, or its error."""
    backend = OpenAIBackend("m", options)
    try:
        ((_, end),) = backend.stream([ASK])
        return end
    finally:
        backend.close()


def test_azure_uses_its_own_header_and_query(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_backends.openai.options, "AZURE", ("127.0.0.1",))
    end_of(ServerOptions(base_url=f"{server.url}/deployments/d?api-version=2024-06-01"))
    (seen,) = server.seen
    assert seen.path == "/v1/deployments/d/completions?api-version=2024-06-01"
    assert seen.headers["api-key"] == KEY and "authorization" not in seen.headers


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_further_fields_and_headers_are_sent_and_part_of_the_identity(server: FaultServer, api: Api) -> None:
    plain = ServerOptions(base_url=server.url, api=api)
    more = plain.model_copy(update={"body": {"repeat_penalty": 1.0, "top_k": 1}, "header": {"X-Route": "a"}})
    for options in (plain, more):
        assert getattr(end_of(options), "text", None) == answer_to("Q")
    bare, full = server.seen
    assert full.body == bare.body | {"repeat_penalty": 1.0, "top_k": 1}
    assert full.headers["x-route"] == "a" and "x-route" not in bare.headers
    revisions = [OpenAIBackend("m", options).identity.revision for options in (plain, more)]
    further = '{"body":{"repeat_penalty":1.0,"top_k":1},"header":{"x-route":"a"}}'
    assert revisions == [f"{server.url.removeprefix('http://')} {api}", f"{revisions[0]} {further}"]


def test_further_fields_are_sent_with_echoes(server: FaultServer) -> None:
    backend = OpenAIBackend("m", ServerOptions(base_url=server.url, echo_logprobs=True, body={"repeat_penalty": 1.0}))
    backend.loglikelihood([LikelihoodRequest(context="Q", continuations=(" a",))])
    backend.close()
    assert server.seen and all(seen.body["repeat_penalty"] == 1.0 and seen.body["echo"] for seen in server.seen)


def test_secrets_that_the_client_reads_are_redacted(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: gateway-secret-1\nX-Other: Token other-secret-2")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-secret-3")
    server.behaviour.refuse = lambda seen: (400, repr(list(seen.headers.items())).encode() + b" admin-secret-3", {})
    end = end_of(ServerOptions(base_url=server.url))
    assert server.seen[0].headers["x-gateway"] == "gateway-secret-1"
    assert isinstance(end, CallFailed) and "[key]" in str(end)
    assert not any(secret in str(end) for secret in ("secret-1", "secret-2", "secret-3", KEY))


def test_the_http_libraries_log_nothing(server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    end_of(ServerOptions(base_url=server.url))
    assert not [one for one in caplog.records if one.name.startswith(("httpx", "httpcore"))]


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_slow_drip_of_bytes_times_out(server: FaultServer, part: str) -> None:
    """A byte now and then never lets a read time out, so the call has its own timeout."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def dribble() -> None:
        with listening.accept()[0] as line:
            start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + (b"\r\n" if part == "body" else b"X-A: ")
            try:
                line.sendall(start)
                while not over.wait(0.05):
                    line.sendall(b" " if part == "body" else b"a")
            except OSError:
                return

    thread = threading.Thread(target=dribble, daemon=True)
    thread.start()
    started = time.monotonic()
    end = end_of(
        ServerOptions(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}/v1", timeout=0.5, max_attempts=1)
    )
    assert time.monotonic() - started < 20
    assert isinstance(end, CallFailed) and "within 0.5 s" in str(end)
    over.set()
    thread.join()
    listening.close()


def test_a_call_within_the_timeout_succeeds(server: FaultServer) -> None:
    server.behaviour.delay = 0.3
    end = end_of(ServerOptions(base_url=server.url, timeout=20.0))
    assert getattr(end, "text", None) == answer_to("Q")
