"""Any backend behind stored replies: committed files first, then the SQLite store, then the model.

The model is made only when the first reply is missing, so a replay imports no torch and needs no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from llm_backends.cache import ReplyCache
from llm_backends.errors import (
    BackendError,
    BackendInputError,
    BackendUnavailable,
    CacheMiss,
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
)
from llm_backends.replay import ReplayLayer
from llm_backends.request_key import answers, prompt_of, request_key

CacheMode = Literal["normal", "cache-only", "live"]
MODES = ("normal", "cache-only", "live")


@dataclass(frozen=True)
class Answer:
    """What became of one request: a reply, or the error that kept it from one."""

    reply: Reply | None
    cached: bool
    """Whether the reply was stored before this question."""
    error: BackendError | None = None
    """PromptTooLong or CallFailed, where `reply` is None."""


@runtime_checkable
class CountsIfReady(Protocol):
    """A backend that can say whether counting tokens is free of downloads and conversions."""

    def count_tokens_if_ready(self, text: str) -> int | None:
        """Tokens of a text, or None where the tokenizer is not there yet."""
        ...


class CachedBackend:
    """Answers from stored replies where it can, and stores what it has to ask.

    Args:
        inner_factory: makes the backend; called at the first request that no store answers, never before.
        identity: of that backend, known beforehand.
        store: where new replies go; None keeps none.
        layers: committed replies, looked through before the store; never written.
        mode: "normal" asks the model on a miss; "cache-only" raises CacheMiss; "live" asks always, and replaces what
            the store holds. A layer comes before the store, so a reply that a live run changed is served in normal
            mode only once it is exported to the layer.
        chunk: requests given to the model at once; as many are lost where a run is killed.

    Raises:
        BackendInputError: the mode is unknown or the chunk is not positive.
    """

    def __init__(
        self,
        inner_factory: Callable[[], Backend],
        identity: Identity,
        store: ReplyCache | None = None,
        layers: Sequence[ReplayLayer] = (),
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
        self._sources: list[ReplayLayer | ReplyCache] = [*layers]
        if store is not None:
            self._sources.append(store)
        self._mode = mode
        self._chunk = chunk

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
        """The stored reply, or None; asks nothing. In live mode always None.

        Raises:
            CacheCorrupt: the stored reply is damaged.
        """
        if self._mode == "live":
            return None
        key = request_key(self._identity, request)
        for source in self._sources:
            reply = source.get(key)
            if reply is not None:
                return reply
        return None

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer per request, in order; a request given twice is asked once.

        Missing replies are asked for in the order given, `chunk` at a time, and each chunk is stored before the next
        is asked. A request that is too long or that fails has its error in its answer and spoils no other.

        Raises:
            CacheMiss: cache-only mode met a request without a stored reply.
            CacheCorrupt: a stored reply is damaged.
            BackendUnavailable: the model cannot be made or loaded.
            BackendInputError: the model cannot answer such a request at all.
        """
        answers = dict(self.ask_each(requests))
        return [answers[index] for index in range(len(requests))]

    def ask_each(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """(index, answer) of each request once: stored replies first, then the others as the model gives them.

        A reply that is handed over is stored. Raises as `ask`; what was handed over before stands.
        """
        places: dict[Request, list[int]] = {}
        for index, request in enumerate(requests):
            places.setdefault(request, []).append(index)
        missing: list[Request] = []
        for request, indices in places.items():
            reply = self.lookup(request)
            if reply is None and self._mode != "cache-only":
                missing.append(request)
                continue
            answer = self._miss(request) if reply is None else Answer(reply, cached=True)
            yield from ((index, answer) for index in indices)
        for chunk in _chunks(missing, self._chunk):
            for request, answer in zip(chunk, self._ask_model(chunk), strict=True):
                yield from ((index, answer) for index in places[request])

    def _ask_model(self, requests: Sequence[Request]) -> list[Answer]:
        """Requests of one kind; their replies are stored when this returns."""
        try:
            replies = self._replies(requests)
        except (PromptTooLong, CallFailed) as error:
            if len(requests) == 1:
                return [Answer(None, cached=False, error=error)]
            # One of them spoils the chunk; asked alone, each gets its own reply or error.
            return [answer for request in requests for answer in self._ask_model([request])]
        if self._store is not None:
            pairs = list(zip(requests, replies, strict=True))
            replies = self._store.put_many(self._identity, pairs, replace=self._mode == "live")
        return [Answer(reply, cached=False) for reply in replies]

    def _replies(self, requests: Sequence[Request]) -> list[Reply]:
        model = self._model()
        replies: list[Reply] = []
        if isinstance(requests[0], CompletionRequest):
            replies += model.complete([request for request in requests if isinstance(request, CompletionRequest)])
        else:
            replies += model.loglikelihood([request for request in requests if isinstance(request, LikelihoodRequest)])
        if len(replies) != len(requests) or not all(map(answers, requests, replies)):
            raise CallFailed(
                f"{self._identity.model} must give one fitting reply per request, got {len(replies)} to "
                f"{len(requests)}: the backend is at fault"
            )
        return replies

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

    def _miss(self, request: Request) -> Answer:
        """A prompt that could never have a reply is no miss; any other raises."""
        error = self._too_long(request)
        if error is not None:
            return Answer(None, cached=False, error=error)
        if not any(source.knows_model(self._identity) for source in self._sources):
            reason = f"no reply of {self._identity.model} ({self._identity.dtype}) is stored"
        elif any(source.knows_prompt(self._identity, request) for source in self._sources):
            reason = "the same prompt is stored with other parameters"
        else:
            reason = "this prompt is not stored"
        lines = prompt_of(request).strip().splitlines()
        raise CacheMiss(
            f"--cache-only needs a stored reply, there is none for {(lines[0] if lines else '')[:80]!r} (key "
            f"{request_key(self._identity, request)}): {reason}; drop --cache-only, or run once with --live"
        )

    def _too_long(self, request: Request) -> PromptTooLong | None:
        """Only where this needs no weights, no download and no conversion."""
        try:
            model = self._model()
            limit = model.capabilities.context_length
            texts, extra = _texts(request)
            # A token is at least one byte, but for a few marks: a short text needs no tokenizer to be seen to fit.
            if limit is None or max(len(text.encode()) for text in texts) + extra + 8 <= limit:
                return None
            counts = [
                model.count_tokens_if_ready(text) if isinstance(model, CountsIfReady) else model.count_tokens(text)
                for text in texts
            ]
        except BackendUnavailable:
            return None
        tokens = max((count for count in counts if count is not None), default=0) + extra
        if tokens <= limit:
            return None
        return PromptTooLong(
            f"prompt and reply are {tokens} tokens, {self._identity.model} takes {limit}: use fewer shots or layers"
        )


def _texts(request: Request) -> tuple[list[str], int]:
    """The texts that must fit, and the tokens still to come after them."""
    if isinstance(request, CompletionRequest):
        return [request.prompt if isinstance(request.prompt, str) else ""], request.max_new_tokens
    return [request.context + continuation for continuation in request.continuations], 0


def _chunks(requests: Iterable[Request], size: int) -> Iterator[list[Request]]:
    """Runs of at most `size` neighbours of one kind."""
    chunk: list[Request] = []
    for request in requests:
        if chunk and (len(chunk) == size or type(request) is not type(chunk[0])):
            yield chunk
            chunk = []
        chunk.append(request)
    if chunk:
        yield chunk


def _reply_or_raise(answer: Answer) -> Reply:
    if answer.reply is None:
        assert answer.error is not None, "an answer holds a reply or an error"
        raise answer.error
    return answer.reply
