"""Tokens and dollars spent, and a budget that is never exceeded.

Before a call, the most that it can cost is reserved; after it, the actual cost is booked. A call is made only if
everything spent and reserved stays within the budget, so calls under way cannot exceed it either. All of it runs on one
event loop, so nothing is locked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from llm_backends.errors import BudgetSpent
from llm_backends.openai.options import Budget, Price
from llm_backends.usage import Usage

TEMPLATE_TOKENS = 32
"""Tokens that a server may add to a prompt: a chat template, a leading special token."""


@dataclass(frozen=True)
class Reservation:
    """The most tokens that one call can use."""

    prompt_tokens: int
    completion_tokens: int

    @classmethod
    def of(
        cls, prompt: str | tuple[int, ...], new_tokens: int, count: Callable[[str], int] | None = None
    ) -> Reservation:
        """For a prompt and its reply: a token is at least one byte of the text.

        Args:
            count: of a text's tokens, by the model's own tokenizer; None where it is not known.
        """
        if not isinstance(prompt, str):
            own = len(prompt)
        else:
            own = len(prompt.encode("utf-8")) if count is None else count(prompt)
        return cls(own + TEMPLATE_TOKENS, new_tokens)


class BudgetTracker:
    """Counts calls and what they cost.

    Args:
        budget: the most to spend; None for no limit.
        price: of a million tokens; None counts tokens only.
    """

    def __init__(self, budget: Budget | None, price: Price | None) -> None:
        self._budget = budget
        self._price = price
        self._failures: Counter[str] = Counter()
        self._adjustments: Counter[str] = Counter()
        self._answers = self._calls = self._prompt = self._completion = 0
        self._estimated_calls = self._estimated_tokens = 0
        self._reserved: Counter[Reservation] = Counter()
        self._settled = asyncio.Event()

    @property
    def usage(self) -> Usage:
        """Everything booked so far, without calls under way."""
        return Usage(
            answers=self._answers,
            calls=self._calls,
            failures=dict(sorted(self._failures.items())),
            prompt_tokens=self._prompt,
            completion_tokens=self._completion,
            estimated_calls=self._estimated_calls,
            estimated_tokens=self._estimated_tokens,
            dollars=None if self._price is None else self._price.of(self._prompt, self._completion),
            adjustments=dict(sorted(self._adjustments.items())),
        )

    def note(self, adjustment: str) -> None:
        """Counts an answer for which something was left out or cut."""
        self._adjustments[adjustment] += 1

    async def reserve(self, reservation: Reservation) -> None:
        """Reserves the most that a call can cost; waits for calls under way if they leave too little.

        Raises:
            BudgetSpent: it does not fit, and no call is under way that could turn out cheaper.
        """
        while not self._fits(reservation):
            if not self._reserved:
                raise BudgetSpent(self._message(reservation))
            await self._settled.wait()
        self._reserved[reservation] += 1
        self._calls += 1

    def settle(self, reservation: Reservation, used: tuple[int, int] | None) -> None:
        """Books an answer: prompt and reply tokens as the server counts them; None books the estimate."""
        self._release(reservation)
        self._answers += 1
        self._book(reservation, used)

    def fail(
        self, reservation: Reservation, reason: str, *, charged: bool, used: tuple[int, int] | None = None
    ) -> None:
        """Books a call without a usable answer.

        Args:
            reason: the kind of failure, in a word or two.
            charged: the server may have done the work all the same.
            used: the tokens it counted for that; None books the estimate.
        """
        self._release(reservation)
        self._failures[reason] += 1
        if charged:
            self._book(reservation, used)

    def _book(self, reservation: Reservation, used: tuple[int, int] | None) -> None:
        prompt, completion = used or (reservation.prompt_tokens, reservation.completion_tokens)
        self._prompt += prompt
        self._completion += completion
        if used is None:
            self._estimated_calls += 1
            self._estimated_tokens += prompt + completion

    def _release(self, reservation: Reservation) -> None:
        self._reserved[reservation] -= 1
        if not self._reserved[reservation]:
            del self._reserved[reservation]
        self._settled.set()
        self._settled = asyncio.Event()

    def _fits(self, reservation: Reservation) -> bool:
        if self._budget is None:
            return True
        open_ones = [*self._reserved.items(), (reservation, 1)]
        prompt = self._prompt + sum(one.prompt_tokens * n for one, n in open_ones)
        completion = self._completion + sum(one.completion_tokens * n for one, n in open_ones)
        return self._cost(prompt, completion) <= self._budget.amount

    def _cost(self, prompt: int, completion: int) -> Decimal:
        if self._budget is not None and self._budget.unit == "usd":
            assert self._price is not None, "ServerOptions requires a price for a budget in dollars"
            return self._price.of(prompt, completion)
        return Decimal(prompt + completion)

    def _message(self, reservation: Reservation) -> str:
        assert self._budget is not None
        spent = self._cost(self._prompt, self._completion)
        more = self._cost(reservation.prompt_tokens, reservation.completion_tokens)
        if self._budget.unit == "usd":
            done, needed = f"${spent:.6f} is spent", f"${more:.6f}"
        else:
            done, needed = f"{spent:,} tokens are spent", f"{more:,}"
        return (
            f"budget allows {self._budget}, {done} and the next call may take {needed}: every answer so far is kept; "
            "run the command again to resume with the same budget once more, or change budget="
        )
