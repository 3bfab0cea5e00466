"""A server's own text tokenizer, in the forms of vLLM, llama.cpp and llama-cpp-python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llm_backends.errors import BackendUnavailable
from llm_backends.openai.backend import OpenAIBackend
from llm_backends.openai.options import ServerOptions
from tests.llm_backends.openai_server import FaultServer


@pytest.fixture
def backend(server: FaultServer) -> Iterator[OpenAIBackend]:
    opened = OpenAIBackend("m", ServerOptions(base_url=server.url))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("path", "text_in", "text_out"),
    [
        pytest.param("/tokenize", "prompt", "prompt", id="vLLM"),
        pytest.param("/tokenize", "content", "content", id="llama.cpp"),
        pytest.param("/extras/tokenize", "input", "text", id="llama-cpp-python"),
    ],
)
def test_text_to_tokens_and_back(
    server: FaultServer, backend: OpenAIBackend, path: str, text_in: str, text_out: str
) -> None:
    def extra(called: str, body: dict[str, Any]) -> Any:
        if called == path:
            assert body["add_special_tokens"] is False and body["add_special"] is False and body["model"] == "m"
            return {"tokens": [ord(letter) for letter in body[text_in]]}
        if called == path.replace("tokenize", "detokenize"):
            return {text_out: "".join(map(chr, body["tokens"]))}
        return None

    server.behaviour.extra = extra
    tokenizer = backend.server_tokenizer
    assert tokenizer.pieces("Input: é") == [ord(letter) for letter in "Input: é"]
    assert tokenizer.join(tokenizer.pieces("Input: é")) == "Input: é"
    assert not server.seen  # no completion is paid for


@pytest.mark.parametrize("odd", [None, [], {}, {"tokens": "12"}, {"tokens": ["1"]}, {"tokens": None}])
def test_a_server_without_one_is_named_with_the_fix(server: FaultServer, backend: OpenAIBackend, odd: Any) -> None:
    server.behaviour.extra = lambda path, body: odd
    with pytest.raises(BackendUnavailable, match="--llm-args tokenizer=FOLDER"):
        backend.server_tokenizer.pieces("a")


def test_no_server() -> None:
    gone = FaultServer()
    gone.close()
    backend = OpenAIBackend("m", ServerOptions(base_url=gone.url))
    with pytest.raises(BackendUnavailable, match=r"no connection.*is it running"):
        backend.server_tokenizer.pieces("a")
    backend.close()
