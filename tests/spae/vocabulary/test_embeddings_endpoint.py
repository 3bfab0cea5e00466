"""A tiktoken vocabulary embedded by a server on localhost, which misbehaves when told to."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch

from spae.errors import InputError, WeightsError
from spae.vocabulary import WordFilter
from spae.vocabulary.embeddings_endpoint import EmbeddingsEndpoint, endpoint_vocabulary, fetch_embeddings

tiktoken = pytest.importorskip("tiktoken", reason="needs pip install 'spae-bench[vocabularies]'")
WORDS = ["lion", "river", "truck", "vase", "cafe"]


def vector_of(word: str) -> list[float]:
    return [byte / 256 for byte in hashlib.sha256(word.encode()).digest()[:4]]


class Server:
    """Answers /embeddings; `faults` are what the next calls meet, "" for a right answer."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.faults: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.asked.append(body)
                owner.keys.append(self.headers.get("Authorization"))
                status, answer = owner.answer(body, owner.faults.pop(0) if owner.faults else "")
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("retry-after-ms", "1")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def answer(self, body: dict[str, Any], fault: str) -> tuple[int, dict[str, Any]]:
        if fault.isdigit():
            return int(fault), {"error": {"message": "the key sk-secret-of-mine is wrong"}}
        data = [{"object": "embedding", "index": i, "embedding": vector_of(w)} for i, w in enumerate(body["input"])]
        if fault == "fewer":
            data.pop()
        elif fault == "twice":
            data[-1]["index"] = 0
        elif fault == "uneven":
            data[-1]["embedding"] = [1.0]
        # Not in the order asked for.
        return 200, {"object": "list", "data": data[::-1], "model": body["model"], "usage": {}}

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Server]:
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    monkeypatch.setenv("TEST_KEY", "sk-secret-of-mine")
    running = Server()
    yield running
    running.close()


def endpoint(server: Server, **options: Any) -> EmbeddingsEndpoint:
    defaults = {"key_variable": "TEST_KEY", "batch": 2, "retries": 0}
    return EmbeddingsEndpoint("tiny-ada", server.url, **(defaults | options))


def encoding_of(words: list[str]) -> Any:
    """Bytes, then every beginning of " word" as a merge, then a gap and a special token."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    for word in words:
        text = f" {word}".encode()
        for end in range(2, len(text) + 1):
            ranks.setdefault(text[:end], len(ranks))
    special = {"<|end|>": len(ranks) + 3}
    return tiktoken.Encoding("tiny", pat_str=r" ?[a-z]+|\S|\s", mergeable_ranks=ranks, special_tokens=special)


def test_words_of_the_encoding_with_the_server_s_vectors(server):
    encoding = encoding_of(WORDS)
    built = endpoint_vocabulary(encoding, endpoint(server, batch=100), WordFilter(least_letters=4))
    # Beginnings of words behind a space are pieces as well, as in real vocabularies.
    assert set(WORDS) <= set(built.words) and "lio" not in built.words and "rive" in built.words
    for word, token, row in zip(built.words, built.tokens, built.embeddings, strict=True):
        assert encoding.decode_single_token_bytes(token) == f" {word}".encode()
        assert row.tolist() == pytest.approx(vector_of(word))
    assert built.round_trip_rate == 1.0 and built.source == "tiny-ada embeddings of the words of tiny"
    assert built.source_sha256 == hashlib.sha256(built.embeddings.numpy().tobytes()).hexdigest()
    assert [body["model"] for body in server.asked] == ["tiny-ada"] and server.keys == ["Bearer sk-secret-of-mine"]


def test_batches_are_requested_once(server):
    for _ in range(2):
        found = fetch_embeddings(WORDS, endpoint(server))
        torch.testing.assert_close(found, torch.tensor([vector_of(word) for word in WORDS]))
    assert [body["input"] for body in server.asked] == [WORDS[:2], WORDS[2:4], WORDS[4:]]
    assert all(body["encoding_format"] == "float" for body in server.asked)
    fetch_embeddings(WORDS[::-1], endpoint(server, batch=9))
    assert len(server.asked) == 4


def test_a_stopped_run_resumes(server):
    server.faults = ["", "500"]
    with pytest.raises(WeightsError, match=r"failed on words 2 to 3 of 5 \(status 500\)") as caught:
        fetch_embeddings(WORDS, endpoint(server))
    assert "\n" not in str(caught.value)
    server.asked.clear()
    found = fetch_embeddings(WORDS, endpoint(server))
    torch.testing.assert_close(found, torch.tensor([vector_of(word) for word in WORDS]))
    assert [body["input"] for body in server.asked] == [WORDS[2:4], WORDS[4:]]


def test_a_busy_server_is_retried(server):
    server.faults = ["429", "503"]
    assert len(fetch_embeddings(WORDS, endpoint(server, retries=3))) == 5
    assert len(server.asked) == 5


def test_an_error_does_not_show_the_key(server):
    server.faults = ["401"]
    with pytest.raises(WeightsError, match="status 401") as caught:
        fetch_embeddings(WORDS, endpoint(server))
    assert "sk-" not in str(caught.value) and caught.value.__cause__ is None and "TEST_KEY" in str(caught.value)


def test_openai_s_key_is_sent_to_openai_only(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai-alone")
    fetch_embeddings(WORDS, endpoint(server, key_variable=None))
    assert set(server.keys) == {"Bearer none"}
    monkeypatch.delenv("OPENAI_API_KEY")
    for options in ({"model": "m"}, {"model": "m", "base_url": server.url, "key_variable": "NOT_SET"}):
        with pytest.raises(WeightsError, match=r"needs a key, (OPENAI_API_KEY|NOT_SET) is not set"):
            fetch_embeddings(WORDS, EmbeddingsEndpoint(**options))


@pytest.mark.parametrize("fault", ["fewer", "twice", "uneven"])
def test_answers_that_do_not_fit_are_refused_and_not_kept(server, fault):
    server.faults = [fault]
    with pytest.raises(WeightsError, match="one vector a word"):
        fetch_embeddings(WORDS, endpoint(server))
    assert len(fetch_embeddings(WORDS, endpoint(server))) == 5


def test_an_unreachable_server_is_an_error(server):
    gone = EmbeddingsEndpoint("tiny-ada", "http://127.0.0.1:9/v1", "TEST_KEY", retries=0)
    with pytest.raises(WeightsError, match="APIConnectionError"):
        fetch_embeddings(WORDS, gone)


def test_encodings_by_name(monkeypatch):
    with pytest.raises(InputError, match="no encoding 'cl10k'"):
        endpoint_vocabulary("cl10k", EmbeddingsEndpoint("m"))

    def far(name: str) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(tiktoken, "get_encoding", far)
    with pytest.raises(WeightsError, match=r"cannot fetch cl100k_base \(ConnectionError\)"):
        endpoint_vocabulary("cl100k_base", EmbeddingsEndpoint("m"))
