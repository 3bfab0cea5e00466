"""What a backend has used, as one value that adds up."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Protocol, runtime_checkable

from pydantic import Field, NonNegativeInt

from spae.canonical import Frozen


class Usage(Frozen):
    """Calls, tokens and dollars of a server; slow paths of any backend."""

    answers: NonNegativeInt = Field(default=0, description="calls with a usable answer")
    calls: NonNegativeInt = Field(default=0, description="calls made, failed ones included")
    failures: dict[str, NonNegativeInt] = Field(default={}, description="calls without a usable answer, by reason")
    prompt_tokens: NonNegativeInt = Field(default=0, description="as the server counts, or estimated")
    completion_tokens: NonNegativeInt = Field(default=0, description="as the server counts, or estimated")
    estimated_calls: NonNegativeInt = Field(
        default=0, description="calls whose tokens are our upper bound: the answer was lost, or did not count them"
    )
    estimated_tokens: NonNegativeInt = Field(default=0, description="tokens of both kinds in these calls")
    dollars: Decimal | None = Field(default=None, description="of calls made with a price; None if there were none")
    unpriced_tokens: NonNegativeInt = Field(default=0, description="tokens of calls that `dollars` leaves out")
    slow_paths: dict[str, NonNegativeInt] = Field(
        default={}, description="requests that a slower code path had to answer, by reason"
    )

    adjustments: dict[str, NonNegativeInt] = Field(
        default={}, description="answers for which a request was changed or a reply cut, by what was done"
    )

    @property
    def tokens(self) -> int:
        """Of prompts and replies."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: Usage) -> Usage:
        """The sum; dollars are the sum of those that are known, `unpriced_tokens` the tokens of the others."""
        known = [one.dollars for one in (self, other) if one.dollars is not None]
        return Usage(
            answers=self.answers + other.answers,
            calls=self.calls + other.calls,
            failures=dict(Counter(self.failures) + Counter(other.failures)),
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            estimated_calls=self.estimated_calls + other.estimated_calls,
            estimated_tokens=self.estimated_tokens + other.estimated_tokens,
            dollars=sum(known, Decimal(0)) if known else None,
            unpriced_tokens=sum(one.tokens if one.dollars is None else one.unpriced_tokens for one in (self, other))
            if known
            else 0,
            slow_paths=dict(Counter(self.slow_paths) + Counter(other.slow_paths)),
            adjustments=dict(Counter(self.adjustments) + Counter(other.adjustments)),
        )

    def __str__(self) -> str:
        """Calls, tokens and dollars in one line for people."""
        text = f"{self.answers:,} answers in {self.calls:,} calls, {self.prompt_tokens:,} tokens in"
        text += f" and {self.completion_tokens:,} out"
        if self.estimated_calls:
            text += f" ({self.estimated_tokens:,} of them estimated, for {self.estimated_calls:,} calls)"
        if self.dollars is None:
            return text
        text += f", ${self.dollars:.6f}"
        left_out = f" for all but {self.unpriced_tokens:,} tokens, of commands without a price"
        return text + left_out if self.unpriced_tokens else text


@runtime_checkable
class Metered(Protocol):
    """A backend that counts what it has used since it was opened."""

    @property
    def usage(self) -> Usage:
        """So far."""
        ...
