"""Scores of a LikelihoodRequest from echoes, and one check that a server's echoes are what they seem."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from llm_backends.openai.logprobs import PROBES, RIVALS, Echo, check_order, likelihoods, new_text, read_echo
from llm_backends.openai.schema import WireReply
from llm_backends.protocol import LikelihoodRequest, Likelihoods

T = TypeVar("T")


class AsksEcho(Protocol):
    """Asks a server to echo a text."""

    async def __call__(self, text: str, read: Callable[[WireReply, str], T]) -> T:
        """The answer as `read` parses it, given the text."""
        ...


async def score(request: LikelihoodRequest, echo: AsksEcho) -> Likelihoods:
    """Each continuation is asked for with its context. Raises what `echo` raises, and as `likelihoods`."""
    echoes = await asyncio.gather(
        *(echo(request.context + one, read_echo) for one in request.continuations), return_exceptions=True
    )
    for found in echoes:
        if isinstance(found, BaseException):
            raise found
    return likelihoods(request.context, [found for found in echoes if isinstance(found, Echo)])


async def probe(place: str, echo: AsksEcho, greedy: Callable[[], bool]) -> None:
    """Checks a server's log-probabilities by a text that its own greedy decoding continues.

    Args:
        place: of the server, for messages.
        greedy: whether what the server adds is greedy, asked after it has added something.

    Raises:
        BackendInputError: another word is likelier than the one that it chose.
    """
    for text in PROBES:
        new = await echo(text, new_text)
        if not greedy():
            return
        if not new.strip() or "\ufffd" in new:
            continue
        rivals = [rival for rival in RIVALS if not new.startswith(rival)]
        found = await score(LikelihoodRequest(context=text, continuations=(new, *rivals)), echo)
        check_order(place, new, rivals, found.values)
        return
