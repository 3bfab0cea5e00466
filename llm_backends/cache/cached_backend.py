"""Any backend behind stored replies: the store first, then the read-only layers under it, then the model.

The model is made only when the first reply is missing, so a replay imports no torch, opens no connection and needs no
weights. A reply counts as there only once it is stored: whatever kills a run, no answered request is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from llm_backends.cache.entry import Part, ReplySource, fault_of, reply_of
from llm_backends.cache.nearest_request import explain_miss
from llm_backends.cache.provenance import Provenance
from llm_backends.cache.request_key import key_of, key_texts
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.capabilities import check_allowed
from llm_backends.context import ContextLimit
from llm_backends.errors import (
    BackendError,
    BackendInputError,
    BackendUnavailable,
    CallFailed,
    PromptTooLong,
)
from llm_backends.protocol import (
    Backend,
    Capabilities,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
    Reply,
    Request,
    Streams,
)

CacheMode = Literal["normal", "cache-only", "refresh"]
MODES = ("normal", "cache-only", "refresh")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request: a reply, or the error that kept it from one."""

    reply: Reply | None
    cached: bool
    """Whether the reply was stored before this question."""
    key: str = ""
    """Where the reply is stored, or would be: of its first sample."""
    error: BackendError | None = None
    """PromptTooLong, CallFailed or CacheMiss, where `reply` is None."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, however often it was given."""

    request: Request
    texts: dict[str, bytes]
    """Key -> its text, one for each sample."""
    places: list[int]
    """Where in the batch it stands."""

    @property
    def key(self) -> str:
        return next(iter(self.texts))


class CachedBackend:
    """Answers from stored replies where it can, and stores what it has to ask.

    Args:
        inner_factory: makes the backend; called at the first request that no store answers, never before.
        identity: of that backend, known beforehand.
        store: where new replies go; None keeps none.
        layers: looked through after the store; never written.
        mode: "normal" asks the model on a miss; "cache-only" raises CacheMiss and writes nothing; "refresh" always
            asks, and replaces what the store holds.
        chunk: requests given at once to a model that does not stream; as many are lost where a run is killed.
        raise_misses: False gives each CacheMiss in its answer instead, for those who want all of them.

    Raises:
        BackendInputError: the mode is unknown or the chunk is not positive.
    """

    def __init__(
        self,
        inner_factory: Callable[[], Backend],
        identity: Identity,
        store: ReplyCache | None = None,
        layers: Sequence[ReplySource] = (),
        mode: CacheMode = "normal",
        chunk: int = 8,
        raise_misses: bool = True,
    ) -> None:
        if mode not in MODES:
            raise BackendInputError(f"a cache mode is one of {', '.join(MODES)}, got {mode!r}")
        if chunk < 1:
            raise BackendInputError(f"a chunk holds at least one request, got {chunk}")
        self._factory = inner_factory
        self._inner: Backend | None = None
        self._identity = identity
        self._store = store
        self._sources: list[ReplySource] = [*layers]
        if store is not None:
            self._sources.insert(0, store)
        self._mode = mode
        self._chunk = chunk
        self._raise_misses = raise_misses

    @property
    def identity(self) -> Identity:
        """Of the model behind the cache."""
        return self._identity

    @property
    def capabilities(self) -> Capabilities:
        """Of the model behind the cache."""
        return self._model().capabilities

    def count_tokens(self, text: str) -> int:
        """By the model's tokenizer; a local model loads no weights for it."""
        return self._model().count_tokens(text)

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """One reply per request, in order. Raises the first request's error, and CacheMiss as `ask`."""
        replies = [_reply_or_raise(answer) for answer in self.ask(requests)]
        return [reply for reply in replies if isinstance(reply, Completion)]

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        """One reply per request, in order. Raises the first request's error, and CacheMiss as `ask`."""
        replies = [_reply_or_raise(answer) for answer in self.ask(requests)]
        return [reply for reply in replies if isinstance(reply, Likelihoods)]

    def lookup(self, request: Request) -> Reply | None:
        """The stored reply, or None; asks nothing. In refresh mode always None.

        Raises:
            CacheCorrupt: the stored reply is damaged.
        """
        (asked,) = self._grouped([request])
        parts = self._find([asked])
        return _assembled(asked, parts)

    def ask(self, requests: Sequence[Request], origins: Sequence[Provenance | None] = ()) -> list[Answer]:
        """One answer per request, in order. Arguments and errors as `ask_each`."""
        answers = dict(self.ask_each(requests, origins))
        return [answers[i] for i in range(len(requests))]

    def ask_each(
        self, requests: Sequence[Request], origins: Sequence[Provenance | None] = ()
    ) -> Iterator[tuple[int, Answer]]:
        """(index, answer) of each request as soon as it is settled: what is stored first, then what the model says.

        A request given twice is asked once. A reply is stored, durably, before it is handed over. A request that is
        too long or that fails has its error in its answer and spoils no other.

        Args:
            requests: of any kind, in any mixture.
            origins: per request what it is asked for, written beside its reply; none, or one for each request.

        Raises:
            CacheMiss: cache-only mode met a request without a stored reply.
            CacheCorrupt: a stored reply is damaged.
            BackendUnavailable: the model cannot be made or loaded.
            BackendInputError: the model cannot answer such a request at all.
            BudgetSpent: nothing more may be asked; what was answered is stored.
        """
        asked = self._grouped(requests)
        missing = []
        parts = self._find(asked)
        noted = []
        for one in asked:
            reply = _assembled(one, parts)
            if reply is None:
                missing.append(one)
                continue
            noted += [(key, origin) for origin in _origins(one, origins) for key in one.texts]
            for place in one.places:
                yield place, Answer(reply, cached=True, key=one.key)
        if noted and self._store is not None and self._mode == "normal":
            self._store.note(noted)
        if self._mode == "cache-only":
            settled: Iterable[tuple[_Asked, Answer]] = ((one, self._miss(one)) for one in missing)
        else:
            settled = self._ask_model(missing, origins)
        for one, answer in settled:
            for place in one.places:
                yield place, answer

    def _grouped(self, requests: Sequence[Request]) -> list[_Asked]:
        """Each different request once, in order."""
        groups: dict[str, _Asked] = {}
        for place, request in enumerate(requests):
            texts = {key_of(text): text for text in key_texts(self._identity, request)}
            first = next(iter(texts))
            groups.setdefault(first, _Asked(request, texts, [])).places.append(place)
        return list(groups.values())

    def _find(self, asked: Sequence[_Asked]) -> dict[str, Part]:
        found: dict[str, Part] = {}
        if self._mode == "refresh":
            return found
        wanted = {key: text for one in asked for key, text in one.texts.items()}
        for source in self._sources:
            if wanted:
                found |= source.find(wanted)
                wanted = {key: text for key, text in wanted.items() if key not in found}
        return found

    def _ask_model(
        self, missing: Sequence[_Asked], origins: Sequence[Provenance | None]
    ) -> Iterator[tuple[_Asked, Answer]]:
        if not missing:
            return
        model = self._model()
        for one in missing:
            check_allowed(model.capabilities, self._identity, one.request)
        groups = _streamed(model, missing) if isinstance(model, Streams) else self._chunked(model, missing)
        for group in groups:
            yield from self._settled(group, origins)

    def _settled(
        self, group: Sequence[tuple[_Asked, Reply | BackendError]], origins: Sequence[Provenance | None]
    ) -> list[tuple[_Asked, Answer]]:
        """The answers to requests; their replies are stored when this returns."""
        answers: dict[str, Answer] = {}
        good: list[tuple[_Asked, Reply]] = []
        for one, reply in group:
            fault = None if isinstance(reply, BackendError) else fault_of(one.request, reply)
            if isinstance(reply, BackendError):
                answers[one.key] = Answer(None, cached=False, key=one.key, error=reply)
            elif fault is not None:
                said = f"{self._identity.model} must give one whole reply to each request, {fault}: ask again"
                answers[one.key] = Answer(None, cached=False, key=one.key, error=CallFailed(said))
            else:
                good.append((one, reply))
        replies = [reply for _, reply in good]
        if self._store is not None and good:
            pairs = [(one.request, reply) for one, reply in good]
            noted = [_origins(one, origins) for one, _ in good]
            replies = self._store.put_many(self._identity, pairs, noted, replace=self._mode == "refresh")
        for (one, _), reply in zip(good, replies, strict=True):
            answers[one.key] = Answer(reply, cached=False, key=one.key)
        return [(one, answers[one.key]) for one, _ in group]

    def _chunked(self, model: Backend, asked: Sequence[_Asked]) -> Iterator[list[tuple[_Asked, Reply | BackendError]]]:
        for chunk in _chunks(asked, self._chunk):
            yield from self._ask_chunk(model, chunk)

    def _ask_chunk(
        self, model: Backend, chunk: Sequence[_Asked]
    ) -> Iterator[list[tuple[_Asked, Reply | BackendError]]]:
        """Requests of one kind, together or, where one of them fails, one by one."""
        try:
            replies = _replies(model, [one.request for one in chunk])
        except (PromptTooLong, CallFailed) as error:
            if len(chunk) == 1:
                yield [(chunk[0], error)]
                return
            # One of them spoils the chunk; asked alone, each gets its own reply or error.
            for one in chunk:
                yield from self._ask_chunk(model, [one])
            return
        yield list(zip(chunk, replies, strict=True))

    def _model(self) -> Backend:
        if self._inner is None:
            inner = self._factory()
            if inner.identity != self._identity:
                raise BackendInputError(
                    f"replies are stored under {self._identity}, the backend made is {inner.identity}: "
                    "open the cache with the backend's own identity"
                )
            self._inner = inner
        return self._inner

    def _miss(self, one: _Asked) -> Answer:
        """A prompt that could never have a reply is no miss; any other is."""
        error: BackendError | None = self._too_long(one.request)
        if error is None:
            error = explain_miss(self._identity, one.request, self._sources)
            if self._raise_misses:
                raise error
        return Answer(None, cached=False, key=one.key, error=error)

    def _too_long(self, request: Request) -> PromptTooLong | None:
        """The error of a request that cannot fit; only where this needs no weights, no download and no conversion."""
        try:
            return ContextLimit(self._model()).too_long(request)
        except BackendUnavailable:
            return None


def _streamed(model: Streams, asked: Sequence[_Asked]) -> Iterator[list[tuple[_Asked, Reply | BackendError]]]:
    """Each request with what the model gave it, one by one in the order given."""
    waiting = dict(enumerate(asked))
    for index, reply in model.stream([one.request for one in asked]):
        one = waiting.pop(index, None)
        if one is None:
            raise CallFailed(f"a backend answers each request once, it gave number {index} twice or unasked")
        yield [(one, reply)]
    for one in waiting.values():
        yield [(one, CallFailed("a backend answers every request, this one came back with nothing: ask again"))]


def _replies(model: Backend, requests: Sequence[Request]) -> list[Reply]:
    """Replies to requests of one kind."""
    replies: list[Reply] = []
    if isinstance(requests[0], CompletionRequest):
        replies += model.complete([request for request in requests if isinstance(request, CompletionRequest)])
    else:
        replies += model.loglikelihood([request for request in requests if isinstance(request, LikelihoodRequest)])
    if len(replies) != len(requests):
        raise CallFailed(f"a backend gives one reply per request, got {len(replies)} to {len(requests)}")
    return replies


def _assembled(one: _Asked, parts: dict[str, Part]) -> Reply | None:
    """The whole reply, where every sample of it is there."""
    found = [parts[key] for key in one.texts if key in parts]
    return reply_of(found) if len(found) == len(one.texts) else None


def _origins(one: _Asked, origins: Sequence[Provenance | None]) -> list[Provenance]:
    given = [origins[place] for place in one.places] if origins else []
    return [origin for origin in given if origin is not None]


def _chunks(asked: Sequence[_Asked], size: int) -> Iterator[list[_Asked]]:
    """Runs of at most `size` neighbours of one kind."""
    chunk: list[_Asked] = []
    for one in asked:
        if chunk and (len(chunk) == size or type(one.request) is not type(chunk[0].request)):
            yield chunk
            chunk = []
        chunk.append(one)
    if chunk:
        yield chunk


def _reply_or_raise(answer: Answer) -> Reply:
    if answer.reply is None:
        assert answer.error is not None, "an answer holds a reply or an error"
        raise answer.error
    return answer.reply
