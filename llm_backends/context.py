"""Prompts that a model's context cannot hold, found before anything is asked."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from llm_backends.errors import BackendUnavailable, PromptTooLong
from llm_backends.protocol import Backend, CompletionRequest, LikelihoodRequest

MARKS = 8
"""Tokens that a model may put around a text: begin and end marks, a chat's roles."""


@runtime_checkable
class CountsIfReady(Protocol):
    """A backend that can say whether counting tokens is free of downloads and conversions."""

    def count_tokens_if_ready(self, text: str) -> int | None:
        """Tokens of a text, or None where the tokenizer is not there yet."""
        ...


class ContextLimit:
    """Compares prompts with the room a model has for prompt and reply together.

    Args:
        model: counts tokens; asked nothing else.
        limit: in tokens, where the user states it; else what the model states. Of two limits the lower one holds.
    """

    def __init__(self, model: Backend, limit: int | None = None) -> None:
        self._model = model
        known = [one for one in (limit, model.capabilities.context_length) if one is not None]
        self._limit = min(known) if known else None

    @property
    def limit(self) -> int | None:
        """In tokens, prompt and reply together; None where nobody states one."""
        return self._limit

    def too_long(self, request: CompletionRequest | LikelihoodRequest) -> PromptTooLong | None:
        """The error to put on record, or None where the prompt fits.

        Loads no weights. Where the model's tokenizer would first have to be fetched or converted, None: the model
        then finds out itself, before it computes anything.
        """
        if self._limit is None or self._is_short(request):
            return None
        counts = [self._tokens(text, extra) for text, extra in _parts(request)]
        longest = max((count for count in counts if count is not None), default=0)
        if longest <= self._limit:
            return None
        about = "" if self._model.capabilities.tokenizer else "about "
        return PromptTooLong(
            f"prompt and reply are {about}{longest} tokens, {self._model.identity.model} takes {self._limit}: "
            "use fewer shots or layers"
        )

    def _is_short(self, request: CompletionRequest | LikelihoodRequest) -> bool:
        """A token is at least one byte, but for a few marks: most prompts are seen to fit without a tokenizer."""
        assert self._limit is not None
        if isinstance(request, CompletionRequest):
            if not isinstance(request.prompt, str):
                return False
            size = _bytes(request.prompt) + request.max_new_tokens
        else:
            size = _bytes(request.context) + max(map(_bytes, request.continuations))
        return size + MARKS <= self._limit

    def _tokens(self, text: str | tuple[int, ...], extra: int) -> int | None:
        if not isinstance(text, str):
            return len(text) + extra
        try:
            if isinstance(self._model, CountsIfReady):
                count = self._model.count_tokens_if_ready(text)
                return None if count is None else count + extra
            return self._model.count_tokens(text) + extra
        except BackendUnavailable:
            return None


def _parts(request: CompletionRequest | LikelihoodRequest) -> list[tuple[str | tuple[int, ...], int]]:
    """What must fit, and how many tokens are still to come after it."""
    if isinstance(request, CompletionRequest):
        return [(request.prompt, request.max_new_tokens)]
    return [(request.context + continuation, 0) for continuation in request.continuations]


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
