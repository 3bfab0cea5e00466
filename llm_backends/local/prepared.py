"""From requests to tokens: what every model on this machine does with them before it computes anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_backends.errors import BackendError, BackendInputError, PromptTooLong
from llm_backends.local.text_tokenizer import Split
from llm_backends.protocol import CompletionRequest, LikelihoodRequest, Reply, Request


class TextCodec(Protocol):
    """A model's own tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, leading marks included."""
        ...

    def checked(self, ids: Sequence[int]) -> list[int]:
        """A prompt given as ids. Raises BackendInputError for one that the tokenizer does not have."""
        ...

    def split(self, context: str, continuations: Sequence[str]) -> Split:
        """Context and continuations cut at one place. Raises BackendInputError."""
        ...

    def decode_after(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        """Text of `new` as it reads after `prompt`."""
        ...


@dataclass(frozen=True)
class Prompt:
    """A completion to be given, with its place among the requests."""

    index: int
    request: CompletionRequest
    ids: list[int]


@dataclass(frozen=True)
class Question:
    """Likelihoods to be given, with their place among the requests."""

    index: int
    split: Split


@dataclass(frozen=True)
class Prepared:
    """Requests in tokens, each kind in the order in which neighbours begin alike; and those that do not fit."""

    prompts: list[Prompt]
    questions: list[Question]
    too_long: list[tuple[int, PromptTooLong]]


def prepare(requests: Sequence[Request], text: TextCodec, model: str, limit: int | None) -> Prepared:
    """Every request in tokens.

    Args:
        requests: of either kind, in any mixture.
        text: the model's tokenizer.
        model: its name, for messages.
        limit: tokens it takes, prompt and reply together; None where unknown.

    Raises:
        BackendInputError: an empty prompt, stop string or continuation, or a token id the model does not have.
    """
    result = Prepared([], [], [])
    for index, request in enumerate(requests):
        if isinstance(request, LikelihoodRequest):
            split = text.split(request.context, request.continuations)
            tokens, what = len(split.context) + max(map(len, split.tails)), "context and continuation are"
            if limit is None or tokens <= limit:
                result.questions.append(Question(index, split))
                continue
        else:
            ids = _prompt_ids(request, text)
            tokens, what = len(ids) + request.max_new_tokens, f"prompt and {request.max_new_tokens} new tokens are"
            if limit is None or tokens <= limit:
                result.prompts.append(Prompt(index, request, ids))
                continue
        error = PromptTooLong(f"{what} {tokens} tokens, {model} takes {limit}: use fewer shots or layers")
        result.too_long.append((index, error))
    result.prompts.sort(key=lambda one: one.ids)
    result.questions.sort(key=lambda one: one.split.context)
    return result


def collected(given: Iterable[tuple[int, Reply | BackendError]], count: int) -> list[Reply]:
    """A stream's replies in the order of their requests. Raises the first error in it."""
    found: dict[int, Reply] = {}
    for index, reply in given:
        if isinstance(reply, BackendError):
            raise reply
        found[index] = reply
    return [found[index] for index in range(count)]


def _prompt_ids(request: CompletionRequest, text: TextCodec) -> list[int]:
    if not all(request.stop):
        raise BackendInputError("a stop string needs at least one character, got '': leave it out")
    prompt = request.prompt
    ids = text.encode(prompt) if isinstance(prompt, str) else text.checked(prompt)
    if not ids:
        raise BackendInputError(f"a prompt needs at least one character or token, got {prompt!r}")
    return ids
