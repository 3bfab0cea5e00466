"""Log-likelihoods from a server's completions that echo a prompt with its tokens' log-probabilities.

Each continuation is sent after its context and comes back split into tokens. If a token crosses the border between the
two, the border moves before it, for all continuations of a request, so that their sums stay comparable: the rule of
local models (`llm_backends.text_tokenizer`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from llm_backends.errors import BackendInputError, CallFailed
from llm_backends.openai.schema import Unusable, WireLogprobs, WireReply
from llm_backends.protocol import Likelihoods


@dataclass(frozen=True)
class Echo:
    """A text's tokens as the server splits it.

    Attributes:
        starts: where each begins in the text, in characters; ascending.
        nats: log-probability of each; None for a text's first token.
    """

    starts: tuple[int, ...]
    nats: tuple[float | None, ...]


def echo_body(text: str, model: str) -> dict[str, Any]:
    """The request body. It asks for one token, which is dropped: some servers take 0 for their default."""
    return {"model": model, "prompt": text, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1}


def read_echo(reply: WireReply, text: str) -> Echo:
    """The tokens of `text` in an answer to `echo_body`.

    Raises:
        BackendInputError: the server does not echo log-probabilities.
        Unusable: its tokens do not make up the text.
    """
    assert reply.choices
    choice = reply.choices[0]
    if choice.logprobs is None or not (choice.text or "").startswith(text):
        raise BackendInputError(
            "echo_logprobs says that the server's completions return a prompt's log-probabilities, they do not: "
            "leave it out and use --scoring exact, prefix or contains"
        )
    try:
        found = WireLogprobs.model_validate(choice.logprobs)
    except ValidationError:
        raise Unusable("malformed answer", "the echoed log-probabilities are not the protocol's") from None
    if len(found.tokens) != len(found.token_logprobs):
        raise Unusable("malformed answer", "the echoed tokens and their log-probabilities differ in number")
    # A leading special token (<s>) is a token of the prompt, and not part of its text.
    for lead in (0, 1, 2):
        starts, at = [], 0
        for token in found.tokens[lead:]:
            if at >= len(text):
                break
            if not text.startswith(token[: len(text) - at], at):
                break
            starts.append(at)
            at += len(token)
        if at >= len(text) and starts:
            nats = tuple(found.token_logprobs[lead : lead + len(starts)])
            return Echo(tuple(starts), nats)
    raise Unusable("malformed answer", "the echoed tokens do not make up the prompt")


def likelihoods(context: str, echoes: Sequence[Echo]) -> Likelihoods:
    """Sums after one border for all continuations.

    Args:
        context: the text before each continuation.
        echoes: of context + continuation, one for each.

    Raises:
        CallFailed: a log-probability is missing or not finite.
    """
    border = len(context)
    while True:
        # The last token start at or before the border.
        moved = min(max((start for start in echo.starts if start <= border), default=0) for echo in echoes)
        if moved == border:
            break
        border = moved
    sums = []
    for echo in echoes:
        own = [nats for start, nats in zip(echo.starts, echo.nats, strict=True) if start >= border]
        if not own or any(nats is None or not math.isfinite(nats) for nats in own):
            raise CallFailed(
                "every token of a continuation needs a finite log-probability, the server gave none for one"
            )
        sums.append(math.fsum(nats for nats in own if nats is not None))
    return Likelihoods(values=tuple(sums))
