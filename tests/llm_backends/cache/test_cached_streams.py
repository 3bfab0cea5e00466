"""Streams and rounds of requests: each reply is stored before it is yielded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import pytest

from llm_backends.cache.entry import Provenance
from llm_backends.cache.request_key import request_key
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import BackendError, BackendUnavailable, BudgetSpent, CallFailed
from llm_backends.protocol import Backend, Choice, Completion, CompletionRequest, Reply, Request, Streams
from llm_backends.scripted.backend import ScriptedBackend
from tests.llm_backends.behind_store import SCRIPT, ask, behind


def test_answers_are_stored_before_they_are_yielded(store: ReplyCache) -> None:
    """Stored replies come first; the model is not asked for the next chunk before the last one was taken."""
    inner = ScriptedBackend(reply=lambda prompt: prompt.upper())
    backend = behind(inner, store, chunk=1)
    requests = [ask("a"), ask("b"), ask("c"), ask("b")]
    backend.ask([requests[2]])
    seen = []
    for index, answer in backend.ask_each(requests):
        assert isinstance(answer.reply, Completion) and answer.reply.text == "ABCB"[index]
        assert store.get(inner.identity, requests[index]) == answer.reply
        seen.append((index, answer.cached, len(inner.asked)))
    assert seen == [(2, True, 1), (0, False, 2), (1, False, 3), (3, False, 3)]


class Streaming(ScriptedBackend):
    """Yields replies in another order than asked, with errors among them, as a server does."""

    def __init__(self, store: ReplyCache | None = None, stop_after: int = 99, **options: object) -> None:
        super().__init__(SCRIPT, **options)  # type: ignore[arg-type]
        self.streamed: list[str] = []
        self.seen_stored: list[bool] = []
        self.closed = False
        self._store, self._stop_after = store, stop_after

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        try:
            for count, index in enumerate(reversed(range(len(requests)))):
                if count == self._stop_after:
                    raise BudgetSpent("the budget of 9 tokens is spent")
                request = requests[index]
                assert isinstance(request, CompletionRequest)
                self.streamed.append(str(request.prompt))
                try:
                    yield index, self.complete([request])[0]
                except BackendError as error:
                    yield index, error
                if self._store is not None:
                    self.seen_stored.append(self._store.get(self.identity, request) is not None)
        finally:
            self.closed = True


def test_a_stream_is_stored_reply_by_reply(store: ReplyCache) -> None:
    inner = Streaming(store, failures={2: CallFailed("down")})
    assert isinstance(inner, Streams)
    answers = behind(inner, store).ask([ask("a"), ask("b"), ask("a"), ask("c")])
    assert inner.streamed == ["c", "b", "a"] and inner.seen_stored == [True, False, True]
    assert [type(answer.error) for answer in answers] == [type(None), CallFailed, type(None), type(None)]
    again = Streaming(store)
    assert [a.cached for a in behind(again, store).ask([ask("a"), ask("b"), ask("c")])] == [True, False, True]
    assert again.streamed == ["b"], "what was answered and stored is never asked again"


class Plain:
    """A scripted model that does not stream."""

    def __init__(self, inner: ScriptedBackend) -> None:
        self.identity, self.capabilities, self.count_tokens = inner.identity, inner.capabilities, inner.count_tokens
        self.complete, self.loglikelihood = inner.complete, inner.loglikelihood


def test_a_chunk_is_stored_before_the_next_is_asked(store: ReplyCache, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = ScriptedBackend(SCRIPT)
    stored = []
    put_many = store.put_many
    monkeypatch.setattr(
        store,
        "put_many",
        lambda *given, **more: stored.append((len(given[1]), inner.calls)) or put_many(*given, **more),
    )
    plain = Plain(inner)
    assert isinstance(plain, Backend) and not isinstance(plain, Streams)
    behind(plain, store, chunk=3).ask([ask(str(i)) for i in range(7)])
    assert stored == [(3, 1), (3, 2), (1, 3)]


def test_a_stream_that_stops_keeps_its_replies(store: ReplyCache) -> None:
    inner = Streaming(stop_after=2)
    with pytest.raises(BudgetSpent):
        behind(inner, store).ask([ask("a"), ask("b"), ask("c")])
    assert inner.closed and store.keys() == sorted(request_key(inner.identity, ask(p)) for p in ("b", "c"))
    inner = Streaming()
    answers = behind(inner, store).ask_each([ask("x"), ask("y")])
    next(answers)
    del answers
    assert inner.closed and len(store.keys()) == 3, "nobody who stops listening keeps a stream open"


class Wrong(Streaming):
    """Answers some requests twice or not at all."""

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        lion = Completion(choices=(Choice(text="lion", finish="stop"),))
        yield from [(0, lion)] * (2 if len(requests) == 1 else 1)


def test_lost_and_repeated_replies_are_errors(store: ReplyCache) -> None:
    answers = behind(Wrong(), store).ask([ask("a"), ask("b")])
    assert answers[0].reply is not None and isinstance(answers[1].error, CallFailed)
    with pytest.raises(CallFailed, match="twice"):
        behind(Wrong(), store).ask([ask("z")])


def test_a_killed_run_of_many_rounds_asks_no_answered_request_again(store: ReplyCache) -> None:
    """Ten rounds of six samples, as a scheduler asks them; each prompt holds the reply of the round before."""

    def run(inner: ScriptedBackend) -> list[str]:
        backend, states = behind(inner, store), [f"sample {i}" for i in range(6)]
        for _ in range(10):
            for index, answer in backend.ask_each([ask(state) for state in states]):
                assert isinstance(answer.reply, Completion)
                states[index] = answer.reply.text
        return states

    def reply(prompt: str) -> str:
        return hashlib.sha256(prompt.encode()).hexdigest()

    killed = ScriptedBackend(reply=reply, failures={34: BackendUnavailable("killed")})
    with pytest.raises(BackendUnavailable):
        run(killed)
    answered = set(store.keys())
    resumed = ScriptedBackend(reply=reply)
    states = run(resumed)
    again = {request_key(resumed.identity, request) for request in resumed.asked}
    assert len(answered) >= 30 and not again & answered and len(again | answered) == len(again) + len(answered) == 60
    expected = [f"sample {i}" for i in range(6)]
    for _ in range(10):
        expected = [reply(state) for state in expected]
    assert states == expected


def test_a_round_of_stored_replies_costs_few_queries(store: ReplyCache) -> None:
    backend = behind(ScriptedBackend(reply=str.upper), store)
    requests = [ask(f"a{i}") for i in range(300)]
    origins = [Provenance(task="t", sample=str(i), tokenizer="spae", fingerprint="f") for i in range(300)]
    backend.ask(requests, origins)
    queries: list[str] = []
    with store.file.session() as connection:
        assert connection is not None
        connection.set_trace_callback(queries.append)
    assert all(answer.cached for answer in backend.ask(requests, origins))
    assert len(queries) == 1, queries
