"""Faults that a script can ask for, so that a run can be rehearsed before a server is asked for money.

They raise what a server's faults end in once all attempts are used up (`llm_backends.openai.calls`), so the run meets
them as it would meet those.
"""

from __future__ import annotations

import random
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llm_backends.errors import BackendError, BackendUnavailable, BudgetSpent, CallFailed, PromptTooLong

Kind = Literal[
    "failed", "timeout", "cut", "429", "500", "503", "invalid-json", "no-choices", "content-type", "cut-short",
    "filtered", "too-long", "unavailable", "budget",
]  # fmt: skip
SPARED: tuple[Kind, ...] = ("timeout", "cut", "429", "500", "503", "invalid-json", "no-choices", "content-type")
"""What `rate` draws from where no kinds are named: all that concerns one call and would be tried again."""

_ERRORS: dict[Kind, type[BackendError]] = {
    "too-long": PromptTooLong,
    "unavailable": BackendUnavailable,
    "budget": BudgetSpent,
}
_WORDS: dict[Kind, str] = {
    "failed": "the call failed",
    "timeout": "no answer within the time allowed",
    "cut": "the connection was cut",
    "429": "the server answers 429 (too many calls)",
    "500": "the server answers 500 (internal error)",
    "503": "the server answers 503 (overloaded)",
    "invalid-json": "the answer is no whole JSON",
    "no-choices": "the answer holds no choices",
    "content-type": "the answer's content type is text/html, not application/json",
    "cut-short": "the reply was cut short of the tokens asked for",
    "filtered": "the server's content filter kept the answer back",
    "too-long": "the prompt does not fit the model's context",
    "unavailable": "the server refuses the key",
    "budget": "the budget is used up",
}


class Fault(BaseModel):
    """What a request meets instead of a reply."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: Kind
    message: str | None = None

    def raised(self) -> BackendError:
        """The error; its words are the script's, or the usual ones."""
        message = self.message or f"{_WORDS[self.error]} (a fault of the script)"
        return _ERRORS.get(self.error, CallFailed)(message)


class Faults(BaseModel):
    """Which requests meet a fault: those of given numbers, and a part of all others.

    In JSON the numbers stand beside the other names: {"3": "timeout", "rate": 0.3, "seed": 1}.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: dict[int, Fault] = {}
    rate: float = Field(default=0.0, ge=0.0, le=1.0, description="part of the other requests, drawn from the seed")
    seed: int = 0
    kinds: tuple[Kind, ...] = Field(default=SPARED, min_length=1, description="what `rate` draws from")
    seconds: float = Field(default=0.0, ge=0.0, le=60.0, description="how long every request takes")

    @model_validator(mode="before")
    @classmethod
    def _gather_numbers(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "at" in value:
            return value
        numbered = {name: one for name, one in value.items() if name.isdecimal()}
        if "0" in numbered:
            raise ValueError("requests are counted from 1")
        at = {name: {"error": one} if isinstance(one, str) else one for name, one in numbered.items()}
        return {name: one for name, one in value.items() if name not in numbered} | {"at": at}

    def of(self, number: int) -> BackendError | None:
        """What request `number`, from 1, meets; None for a reply. The same in every process."""
        if number in self.at:
            return self.at[number].raised()
        draw = random.Random(f"{self.seed}:{number}")
        if draw.random() >= self.rate:
            return None
        return Fault(error=draw.choice(self.kinds)).raised()


assert set(_WORDS) == set(get_args(Kind)), "every kind has its words"
