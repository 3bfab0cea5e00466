"""Bodies of answers are capped once unpacked, whatever their encoding and their status."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

import llm_backends.openai.answer_body
from llm_backends.errors import CallFailed
from llm_backends.openai.answer_body import MAX_BODY, BodyTooLong, bound_body
from llm_backends.openai.backend import OpenAIBackend
from llm_backends.openai.options import ServerOptions
from llm_backends.protocol import Completion, CompletionRequest
from tests.llm_backends.openai_server import FaultServer

ANSWER = json.dumps({"choices": [{"text": " lion", "finish_reason": "stop"}]}).encode()
PACK = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "gzip, gzip": lambda body: gzip.compress(gzip.compress(body)),
    "deflate, gzip": lambda body: gzip.compress(zlib.compress(body)),
    "identity": bytes,
}


class Pieces(httpx2.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.body), 65536):
            yield self.body[at : at + 65536]

    async def aclose(self) -> None:
        self.closed = True


def read(body: bytes, encoding: str) -> bytes:
    async def go() -> bytes:
        response = httpx2.Response(200, headers={"content-encoding": encoding}, stream=Pieces(body))
        await bound_body(response)
        return await response.aread()

    return asyncio.run(go())


@pytest.mark.parametrize("encoding", PACK)
def test_bodies_within_the_cap_are_unpacked(encoding: str) -> None:
    assert read(PACK[encoding](ANSWER), encoding) == ANSWER
    assert read(PACK[encoding](b"x" * MAX_BODY), encoding) == b"x" * MAX_BODY


@pytest.mark.parametrize("encoding", PACK)
def test_bodies_beyond_the_cap_are_not(encoding: str) -> None:
    with pytest.raises(BodyTooLong, match="unpacked"):
        read(PACK[encoding](b"x" * (MAX_BODY + 1)), encoding)


def test_a_bomb_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_backends.openai.answer_body, "MAX_BODY", 1_000_000)
    bomb = gzip.compress(gzip.compress(bytes(500_000_000), compresslevel=1))
    assert len(bomb) < 100_000
    tracemalloc.start()
    with pytest.raises(BodyTooLong):
        read(bomb, "gzip, gzip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(llm_backends.openai.answer_body, "MAX_BODY", 10_000)
    running = FaultServer()
    yield running
    running.close()


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_request_fails_without_being_repeated(server: FaultServer, status: int, encoding: str) -> None:
    long = PACK[encoding](b"[" + b" " * 10_000 + b"]")
    server.behaviour.refuse = lambda seen: (
        (status, long, {"Content-Encoding": encoding, "Content-Length": str(len(long))}) if seen.prompt == "Q" else None
    )
    backend = OpenAIBackend("m", ServerOptions(base_url=server.url, concurrency=1))
    ends = dict(backend.stream([CompletionRequest(prompt=prompt, max_new_tokens=7) for prompt in ("Q", "R")]))
    backend.close()
    assert isinstance(ends[0], CallFailed) and ends[0].lasting and "10,000 bytes unpacked" in str(ends[0])
    assert isinstance(ends[1], Completion) and len(server.seen) == 2
