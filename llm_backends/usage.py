"""What asking a server has cost, as one value that adds up."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Protocol, runtime_checkable

from pydantic import Field, NonNegativeInt

from spae.canonical import Frozen


class Usage(Frozen):
    """Calls, tokens and dollars."""

    answers: NonNegativeInt = Field(default=0, description="answers that could be used")
    calls: NonNegativeInt = Field(default=0, description="calls made, those that failed included")
    faults: dict[str, NonNegativeInt] = Field(default={}, description="calls that gave no answer, by reason")
    prompt_tokens: NonNegativeInt = Field(default=0, description="as the server counts, or estimated")
    completion_tokens: NonNegativeInt = Field(default=0, description="as the server counts, or estimated")
    estimated_calls: NonNegativeInt = Field(
        default=0, description="calls whose tokens are an upper bound of ours: the answer was lost, or counted none"
    )
    estimated_tokens: NonNegativeInt = Field(default=0, description="the part of both kinds of tokens that is of these")
    dollars: Decimal | None = Field(default=None, description="of calls made with a --price; None where none was")

    @property
    def tokens(self) -> int:
        """Of prompts and replies."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: Usage) -> Usage:
        """Both together; dollars are those that are known."""
        known = [one.dollars for one in (self, other) if one.dollars is not None]
        return Usage(
            answers=self.answers + other.answers,
            calls=self.calls + other.calls,
            faults=dict(Counter(self.faults) + Counter(other.faults)),
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            estimated_calls=self.estimated_calls + other.estimated_calls,
            estimated_tokens=self.estimated_tokens + other.estimated_tokens,
            dollars=sum(known, Decimal(0)) if known else None,
        )

    def __str__(self) -> str:
        """One line for people."""
        text = f"{self.answers:,} answers in {self.calls:,} calls, {self.prompt_tokens:,} tokens in"
        text += f" and {self.completion_tokens:,} out"
        if self.estimated_calls:
            text += f" ({self.estimated_tokens:,} of them estimated, for {self.estimated_calls:,} calls)"
        return text if self.dollars is None else f"{text}, ${self.dollars:.6f}"


@runtime_checkable
class Metered(Protocol):
    """A backend that knows what it has cost since it was opened."""

    @property
    def usage(self) -> Usage:
        """So far."""
        ...
