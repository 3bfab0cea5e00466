"""Failures that a script injects, to rehearse a run before a paid server is asked.

They raise what a server's failures become once all attempts are used up (`llm_backends.openai.calls`).
"""

from __future__ import annotations

import random
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llm_backends.errors import BackendError, BackendUnavailable, BudgetSpent, CallFailed, PromptTooLong

Kind = Literal[
    "failed", "timeout", "cut", "429", "500", "503", "invalid-json", "no-choices", "content-type", "cut-short",
    "filtered", "refused", "too-long", "unavailable", "budget",
]  # fmt: skip
RETRYABLE: tuple[Kind, ...] = ("timeout", "cut", "429", "500", "503", "invalid-json", "no-choices", "content-type")
"""Default of `kinds`: all failures of a single call that a server backend would retry."""

LASTING: tuple[Kind, ...] = ("cut-short", "filtered", "refused")
"""Failures that a server backend does not retry."""

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
    "invalid-json": "the answer is not valid JSON",
    "no-choices": "the answer holds no choices",
    "content-type": "the answer's content type is text/html, not application/json",
    "cut-short": "the reply was truncated",
    "filtered": "the server's content filter withheld the answer",
    "refused": "the server answers 400 (bad request)",
    "too-long": "the prompt does not fit the model's context",
    "unavailable": "the server refuses the key",
    "budget": "the budget is used up",
}


class InjectedFailure(BaseModel):
    """The error of one request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: Kind
    message: str | None = None

    def as_error(self) -> BackendError:
        """The error, with the script's message or the usual one."""
        message = self.message or f"{_WORDS[self.error]} (injected by the script)"
        if self.error in _ERRORS:
            return _ERRORS[self.error](message)
        return CallFailed(message, lasting=self.error in LASTING)


class InjectedFailures(BaseModel):
    """Which requests fail: those of given numbers, and a fraction of all others.

    In JSON the numbers stand beside the other names: {"3": "timeout", "rate": 0.3, "seed": 1}.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: dict[int, InjectedFailure] = {}
    rate: float = Field(default=0.0, ge=0.0, le=1.0, description="fraction of the other requests")
    seed: int = 0
    kinds: tuple[Kind, ...] = Field(default=RETRYABLE, min_length=1, description="what `rate` samples from")
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
        """The error of request `number`, from 1; None for a reply. The same in every process."""
        if number in self.at:
            return self.at[number].as_error()
        rng = random.Random(f"{self.seed}:{number}")
        if rng.random() >= self.rate:
            return None
        return InjectedFailure(error=rng.choice(self.kinds)).as_error()


assert set(_WORDS) == set(get_args(Kind)), "every kind has its words"
