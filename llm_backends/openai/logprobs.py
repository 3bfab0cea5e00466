"""Log-likelihoods from a server's completions that echo a prompt with its tokens' log-probabilities.

Each continuation is sent after its context and comes back split into tokens. If a token crosses the border between the
two, the border moves before it, for all continuations of a request, so that their sums stay comparable: the rule of
local models (`llm_backends.text_tokenizer`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from llm_backends.errors import BackendInputError, CallFailed
from llm_backends.openai.schema import Unusable, WireLogprobs, WireReply
from llm_backends.protocol import Likelihoods

FIX = "leave it out and use --scoring exact, prefix or contains"

PROBES = (
    "Monday, Tuesday, Wednesday, Thursday, Friday,",
    "a b c d e f g h i j k l m n o p",
    "one two three four five six seven eight nine",
)
RIVALS = (" blah", " very", " far", " ha")
"""Words that are likely only after themselves: where log-probabilities are shifted by one token, they win. With
SmolLM2-135M-Instruct the first text's " Saturday" is 14 nats above them, and shifted 7 below."""
TOLERANCE = 0.05
"""Nats between two calls of a server that computes in half precision."""


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
        BackendInputError: the server does not echo log-probabilities, leaves the new token out of them, or spells
            tokens so that their places in the text are unknown.
        Unusable: the log-probabilities are not the protocol's.
    """
    assert reply.choices
    choice = reply.choices[0]
    whole = choice.text or ""
    if choice.logprobs is None or not whole.startswith(text):
        raise BackendInputError(
            f"echo_logprobs says that the server's completions return a prompt's log-probabilities, they do not: {FIX}"
        )
    try:
        found = WireLogprobs.model_validate(choice.logprobs)
    except ValidationError:
        reason = "the echoed log-probabilities are not the protocol's"
        raise Unusable("malformed answer", reason, lasting=True) from None
    if len(found.tokens) != len(found.token_logprobs):
        reason = "the echoed tokens and their log-probabilities differ in number"
        raise Unusable("malformed answer", reason, lasting=True)
    joined = _joined(found.tokens, whole)
    if joined is None:
        joined = _by_offset(found.tokens, found.text_offset, whole)
    if joined is None or (len(whole) > len(text) and joined.starts[-1] < len(text)):
        raise BackendInputError(
            "the echoed tokens must make up the prompt and the new token, this server leaves some out or spells them "
            f"otherwise, so that scores would depend on the class's letters: {FIX}"
        )
    nats = found.token_logprobs[joined.lead : joined.lead + len(joined.starts)]
    own = [place for place, start in enumerate(joined.starts) if start < len(text)]
    return Echo(tuple(joined.starts[place] for place in own), tuple(nats[place] for place in own))


@dataclass(frozen=True)
class _Places:
    """Where tokens begin in a text, after `lead` tokens that are not part of it."""

    lead: int
    starts: list[int]


def _joined(tokens: Sequence[str], whole: str) -> _Places | None:
    """The tokens' places, if their spellings make up the whole text; None if they do not."""
    # A leading special token (<s>) is a token of the prompt, and not part of its text; so is one that ends the reply.
    for lead in (0, 1, 2):
        starts, at = [], 0
        for token in tokens[lead:]:
            if not whole.startswith(token, at):
                break
            starts.append(at)
            at += len(token)
        if at == len(whole) and starts and len(tokens) - lead - len(starts) <= 1:
            return _Places(lead, starts)
    return None


# Spelled without their text: part of a character, an id, a byte, a special token.
_OPAQUE = re.compile(r".*\ufffd.*|token_id:\d+|bytes:.*|<0x[0-9A-Fa-f]{2}>|<[^<>]*>|\[[A-Z]+\]|", re.DOTALL)


def _by_offset(tokens: Sequence[str], offsets: Any, whole: str) -> _Places | None:
    """The tokens' places as the server states them, in characters; None if it states none that fit the text."""
    if not isinstance(offsets, list) or len(offsets) != len(tokens) or not tokens:
        return None
    if any(type(offset) is not int for offset in offsets) or offsets != sorted(offsets):
        return None
    if not 0 == offsets[0] <= offsets[-1] <= len(whole):
        return None
    ends = [*offsets[1:], len(whole)]
    # In bytes, or counted over other spellings, they would not fit the tokens whose text is known.
    fits = all(_fits(token, whole[at:end]) for token, at, end in zip(tokens, offsets, ends, strict=True))
    return _Places(0, offsets) if fits else None


def _fits(token: str, text: str) -> bool:
    """Whether a token may be spelled so for a text; what cannot be compared may."""
    if not text or _OPAQUE.fullmatch(token):
        return True
    plain = token.replace("\u0120", " ").replace("\u2581", " ").replace("\u010a", "\n").replace("\u0109", "\t")
    return plain.strip() == text.strip() if plain.isascii() else not text.isascii()


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
        given = [nats for nats in own if nats is not None]
        # Above 0 is no probability.
        if not own or len(given) < len(own) or not all(math.isfinite(nats) and nats <= 0 for nats in given):
            raise CallFailed(
                "every token of a continuation needs a finite log-probability of at most 0, the server gave "
                f"{own if own else 'none'}",
                lasting=True,
            )
        try:
            sums.append(math.fsum(given))
        except OverflowError:
            raise CallFailed(
                f"the sum of a continuation's log-probabilities must be finite, the server gave {given}", lasting=True
            ) from None
    return Likelihoods(values=tuple(sums))


def new_text(reply: WireReply, text: str) -> str:
    """What the server's own greedy decoding adds to `text`, in an answer to `echo_body`. Raises as `read_echo`."""
    read_echo(reply, text)
    assert reply.choices
    return (reply.choices[0].text or "")[len(text) :]


def check_order(place: str, new: str, rivals: Sequence[str], values: Sequence[float]) -> None:
    """Checks a server's log-likelihoods against its own greedy decoding, which adds the likeliest token.

    Args:
        place: of the server, for the message.
        new: what greedy decoding adds to a text.
        rivals: other continuations of it.
        values: of `new`, then of each rival.

    Raises:
        BackendInputError: a rival is likelier.
    """
    best, rival = max(zip(values[1:], rivals, strict=True))
    if best > values[0] + TOLERANCE:
        raise BackendInputError(
            f"echo_logprobs needs a server whose log-probabilities are those of its tokens: {place} itself continues "
            f"{new!r} and gives that {values[0]:.2f} nats, but {rival!r} {best:.2f}; llama-cpp-python shifts them by "
            f"one token: {FIX}, or serve the model with vLLM"
        )
