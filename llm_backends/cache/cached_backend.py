"""Any backend behind stored replies: the store first, then read-only sources, then the model.

The model is opened at the first missing reply, so a replay imports no torch, opens no connection and needs no weights.
A reply is returned only once it is stored: no answered request of a killed run is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from llm_backends.cache.entry import Part, Provenance, ReplySource, defect_of, reply_of
from llm_backends.cache.nearest_request import explain_miss
from llm_backends.cache.request_key import key_of, key_texts
from llm_backends.cache.response_cache import ReplyCache
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
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Reply,
    Request,
    Streams,
    check_allowed,
)

CacheMode = Literal["normal", "cache-only", "refresh"]
MODES = ("normal", "cache-only", "refresh")


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one request: a reply or an error."""

    reply: Reply | None
    cached: bool
    """Whether the reply was stored before."""
    key: str = ""
    """Of its first sample."""
    error: BackendError | None = None
    """PromptTooLong, CallFailed or CacheMiss if `reply` is None."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, once for all its occurrences.

    Attributes:
        texts: key -> its text, one per sample.
        places: its indices among the requests.
    """

    request: Request
    texts: dict[str, bytes]
    places: list[int]

    @property
    def key(self) -> str:
        return next(iter(self.texts))


class CachedBackend:
    """Answers from stored replies, and stores the replies it has to ask for.

    Args:
        inner_factory: opens the backend; called at the first missing reply, never before.
        identity: of that backend.
        store: for new replies; None stores none.
        sources: searched after the store; never written.
        mode: "normal" asks the model on a miss; "cache-only" raises CacheMiss and writes nothing; "refresh" asks
            each request once more, and replaces the stored reply.
        chunk: requests given at once to a model that does not stream; a killed run loses as many.

    Raises:
        BackendInputError: the mode is unknown or the chunk is not positive.
    """

    def __init__(
        self,
        inner_factory: Callable[[], Backend],
        identity: Identity,
        store: ReplyCache | None = None,
        sources: Sequence[ReplySource] = (),
        mode: CacheMode = "normal",
        chunk: int = 8,
    ) -> None:
        if mode not in MODES:
            raise BackendInputError(f"a cache mode is one of {', '.join(MODES)}, got {mode!r}")
        if chunk < 1:
            raise BackendInputError(f"a chunk holds at least one request, got {chunk}")
        self._factory = inner_factory
        self._inner: Backend | None = None
        self._identity = identity
        self._store = store
        self._sources: list[ReplySource] = [*sources] if store is None else [store, *sources]
        self._mode = mode
        self._chunk = chunk
        self._refreshed: set[str] = set()

    @property
    def identity(self) -> Identity:
        """Of the model behind the cache."""
        return self._identity

    def ask(self, requests: Sequence[Request], origins: Sequence[Provenance | None] = ()) -> list[Answer]:
        """One answer per request, in order. Arguments and errors as `ask_each`."""
        answers = dict(self.ask_each(requests, origins))
        return [answers[i] for i in range(len(requests))]

    def ask_each(
        self, requests: Sequence[Request], origins: Sequence[Provenance | None] = ()
    ) -> Iterator[tuple[int, Answer]]:
        """(index, answer) of each request: stored replies first, then the model's as they come.

        A request given twice is asked once. A reply is stored durably before it is yielded. A request that is too long
        or fails has its error in its answer and does not affect the others. Look-ups take one query per 400 requests,
        so a scheduler may call this once a round.

        Args:
            requests: of any kind, in any mixture.
            origins: the question behind each request, recorded with its reply; empty, or one per request.

        Raises:
            CacheMiss: cache-only mode met a request without a stored reply.
            CacheCorrupt: a stored reply is damaged.
            BackendUnavailable: the model cannot be opened or loaded.
            BackendInputError: a request is beyond the model's capabilities.
            BudgetSpent: nothing more can be asked; replies so far are stored.
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
        wanted = {key: text for one in asked for key, text in one.texts.items()}
        if self._mode == "refresh":
            wanted = {key: text for key, text in wanted.items() if key in self._refreshed}
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
        capabilities = model.capabilities
        for one in missing:
            check_allowed(capabilities, self._identity, one.request)
        groups = _streamed(model, missing) if isinstance(model, Streams) else self._chunked(model, missing)
        for group in groups:
            yield from self._settled(group, origins)

    def _settled(
        self, group: Sequence[tuple[_Asked, Reply | BackendError]], origins: Sequence[Provenance | None]
    ) -> list[tuple[_Asked, Answer]]:
        """The answers to requests, after storing their replies."""
        answers: dict[str, Answer] = {}
        good: list[tuple[_Asked, Reply]] = []
        for one, reply in group:
            if not isinstance(reply, BackendError) and (defect := defect_of(one.request, reply)):
                model = self._identity.model
                reply = CallFailed(f"{model} must give one complete reply per request, {defect}: ask again")
            if isinstance(reply, BackendError):
                answers[one.key] = Answer(None, cached=False, key=one.key, error=reply)
            else:
                good.append((one, reply))
        replies = [reply for _, reply in good]
        if self._store is not None and good:
            pairs = [(one.request, reply) for one, reply in good]
            noted = [_origins(one, origins) for one, _ in good]
            replies = self._store.put_many(self._identity, pairs, noted, replace=self._mode == "refresh")
            if self._mode == "refresh":
                self._refreshed.update(key for one, _ in good for key in one.texts)
        for (one, _), reply in zip(good, replies, strict=True):
            answers[one.key] = Answer(reply, cached=False, key=one.key)
        return [(one, answers[one.key]) for one, _ in group]

    def _chunked(self, model: Backend, asked: Sequence[_Asked]) -> Iterator[list[tuple[_Asked, Reply | BackendError]]]:
        for chunk in _chunks(asked, self._chunk):
            yield from self._ask_chunk(model, chunk)

    def _ask_chunk(
        self, model: Backend, chunk: Sequence[_Asked]
    ) -> Iterator[list[tuple[_Asked, Reply | BackendError]]]:
        """Requests of one kind, together; one by one if one of them fails."""
        try:
            replies = _replies(model, [one.request for one in chunk])
        except (PromptTooLong, CallFailed) as error:
            if len(chunk) == 1:
                yield [(chunk[0], error)]
                return
            # Asked alone, each gets its own reply or error.
            for one in chunk:
                yield from self._ask_chunk(model, [one])
            return
        yield list(zip(chunk, replies, strict=True))

    def _model(self) -> Backend:
        if self._inner is None:
            inner = self._factory()
            if inner.identity != self._identity:
                raise BackendInputError(
                    f"replies are stored under {self._identity}, the backend opened is {inner.identity}: "
                    "open the cache with the backend's own identity"
                )
            self._inner = inner
        return self._inner

    def _miss(self, one: _Asked) -> Answer:
        """PromptTooLong for a prompt that can have no reply, CacheMiss for any other."""
        error = self._too_long(one.request)
        if error is None:
            raise explain_miss(self._identity, one.request, self._sources)
        return Answer(None, cached=False, key=one.key, error=error)

    def _too_long(self, request: Request) -> PromptTooLong | None:
        """The error of a prompt that exceeds the context, if it is known without weights, download or conversion."""
        try:
            return ContextLimit(self._model()).too_long(request)
        except BackendUnavailable:
            return None


def _streamed(model: Streams, asked: Sequence[_Asked]) -> Iterator[list[tuple[_Asked, Reply | BackendError]]]:
    """Each request with the model's reply or error, one by one."""
    waiting = dict(enumerate(asked))
    for pair in model.stream([one.request for one in asked]):
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise CallFailed(f"a backend streams pairs of an index and a reply, it gave {pair!r:.60}")
        index, reply = pair
        one = waiting.pop(index, None)
        if one is None:
            raise CallFailed(f"a backend answers each request once, it gave number {index} twice or unasked")
        yield [(one, reply)]
    for one in waiting.values():
        yield [(one, CallFailed("a backend answers every request, it left this one out: ask again"))]


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
    """The reply, if every sample of it is stored."""
    found = [parts[key] for key in one.texts if key in parts]
    return reply_of(found) if len(found) == len(one.texts) else None


def _origins(one: _Asked, origins: Sequence[Provenance | None]) -> list[Provenance]:
    given = [origins[place] for place in one.places] if origins else []
    return [origin for origin in given if origin is not None]


def _chunks(asked: Sequence[_Asked], size: int) -> Iterator[list[_Asked]]:
    """Runs of at most `size` adjacent requests of one kind."""
    chunk: list[_Asked] = []
    for one in asked:
        if chunk and (len(chunk) == size or type(one.request) is not type(chunk[0].request)):
            yield chunk
            chunk = []
        chunk.append(one)
    if chunk:
        yield chunk
