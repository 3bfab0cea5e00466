"""Prompts that exceed a model's context, found before anything is asked."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from llm_backends.errors import BackendUnavailable, PromptTooLong
from llm_backends.protocol import Backend, CompletionRequest, LikelihoodRequest

SPECIAL_TOKENS = 8
"""Tokens that a model may add to a text: begin and end of text, a chat's roles."""


@runtime_checkable
class CountsIfReady(Protocol):
    """A backend whose tokenizer may first have to be downloaded or converted."""

    def count_tokens_if_ready(self, text: str) -> int | None:
        """Tokens of a text, or None if the tokenizer is not there yet."""
        ...


class ContextLimit:
    """Compares prompts with a model's context length, prompt and reply together.

    Args:
        model: counts tokens; asked nothing else.
        limit: in tokens, from the user; with the model's own limit, the lower one holds.
    """

    def __init__(self, model: Backend, limit: int | None = None) -> None:
        self._model = model
        known = [one for one in (limit, model.capabilities.context_length) if one is not None]
        self._limit = min(known) if known else None

    @property
    def limit(self) -> int | None:
        """In tokens, prompt and reply together; None if unknown."""
        return self._limit

    def too_long(self, request: CompletionRequest | LikelihoodRequest) -> PromptTooLong | None:
        """The error to record, or None if the prompt fits.

        Loads no weights. Also None if the tokenizer would first have to be downloaded or converted: the model then
        checks the prompt itself, before it computes anything.
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
        """Whether a prompt fits even at one token per byte, so that no tokenizer is needed."""
        assert self._limit is not None
        if isinstance(request, CompletionRequest):
            if not isinstance(request.prompt, str):
                return False
            size = _bytes(request.prompt) + request.max_new_tokens
        else:
            size = _bytes(request.context) + max(map(_bytes, request.continuations))
        return size + SPECIAL_TOKENS <= self._limit

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
    """The texts that must fit, each with the tokens to be generated after it."""
    if isinstance(request, CompletionRequest):
        return [(request.prompt, request.max_new_tokens)]
    return [(request.context + continuation, 0) for continuation in request.continuations]


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
