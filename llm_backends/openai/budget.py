"""Tokens and dollars spent, and a budget that is never exceeded.

Before a call, the most that it can cost is set aside; after it, what it did cost is booked instead. A call is made only
where everything spent and everything set aside stay within the budget together, so the calls under way cannot break it
either. All of it lives on one event loop, so nothing is locked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from llm_backends.errors import BudgetSpent
from llm_backends.openai.options import Budget, Price
from llm_backends.usage import Usage

TEMPLATE_TOKENS = 32
"""Tokens that a server may put around a prompt: a chat template's marks, a leading mark."""


@dataclass(frozen=True)
class Hold:
    """The most that one call can use."""

    prompt_tokens: int
    completion_tokens: int


def hold_for(prompt: str | tuple[int, ...], new_tokens: int) -> Hold:
    """The most tokens that a prompt and its reply can be: a token is at least one byte of the text."""
    own = len(prompt.encode("utf-8")) if isinstance(prompt, str) else len(prompt)
    return Hold(own + TEMPLATE_TOKENS, new_tokens)


class Ledger:
    """Books calls.

    Args:
        budget: the most to spend; None is no bound.
        price: of a million tokens; None counts tokens only.
    """

    def __init__(self, budget: Budget | None, price: Price | None) -> None:
        self._budget = budget
        self._price = price
        self._faults: Counter[str] = Counter()
        self._answers = self._calls = self._prompt = self._completion = 0
        self._estimated_calls = self._estimated_tokens = 0
        self._held: Counter[Hold] = Counter()
        self._settled = asyncio.Event()

    @property
    def usage(self) -> Usage:
        """Everything booked so far; calls under way are not in it yet."""
        return Usage(
            answers=self._answers,
            calls=self._calls,
            faults=dict(sorted(self._faults.items())),
            prompt_tokens=self._prompt,
            completion_tokens=self._completion,
            estimated_calls=self._estimated_calls,
            estimated_tokens=self._estimated_tokens,
            dollars=None if self._price is None else self._price.of(self._prompt, self._completion),
        )

    async def reserve(self, hold: Hold) -> None:
        """Sets aside what a call can cost at most, waiting for calls under way where they leave no room.

        Raises:
            BudgetSpent: it does not fit, and nothing is under way that could turn out cheaper.
        """
        while not self._fits(hold):
            if not self._held:
                raise BudgetSpent(self._spent(hold))
            await self._settled.wait()
        self._held[hold] += 1
        self._calls += 1

    def settle(self, hold: Hold, used: tuple[int, int] | None) -> None:
        """Books an answer: tokens of prompt and reply as the server counts them, or the estimate where it does not."""
        self._release(hold)
        self._answers += 1
        self._book(hold, used)

    def fail(self, hold: Hold, fault: str, *, charged: bool, used: tuple[int, int] | None = None) -> None:
        """Books a call without an answer.

        Args:
            hold: what was set aside for it.
            fault: the kind of failure, in a word or two.
            charged: the server may have done the work all the same.
            used: the tokens it counted for that; None books the estimate.
        """
        self._release(hold)
        self._faults[fault] += 1
        if charged:
            self._book(hold, used)

    def _book(self, hold: Hold, used: tuple[int, int] | None) -> None:
        prompt, completion = used or (hold.prompt_tokens, hold.completion_tokens)
        self._prompt += prompt
        self._completion += completion
        if used is None:
            self._estimated_calls += 1
            self._estimated_tokens += prompt + completion

    def _release(self, hold: Hold) -> None:
        self._held[hold] -= 1
        if not self._held[hold]:
            del self._held[hold]
        self._settled.set()
        self._settled = asyncio.Event()

    def _fits(self, hold: Hold) -> bool:
        if self._budget is None:
            return True
        prompt = self._prompt + hold.prompt_tokens + sum(one.prompt_tokens * n for one, n in self._held.items())
        reply = self._completion + hold.completion_tokens
        reply += sum(one.completion_tokens * n for one, n in self._held.items())
        return self._cost(prompt, reply) <= self._budget.amount

    def _cost(self, prompt: int, completion: int) -> Decimal:
        if self._budget is not None and self._budget.unit == "usd":
            assert self._price is not None, "a budget in dollars comes with a price"
            return self._price.of(prompt, completion)
        return Decimal(prompt + completion)

    def _spent(self, hold: Hold) -> str:
        assert self._budget is not None
        spent, more = self._cost(self._prompt, self._completion), self._cost(hold.prompt_tokens, hold.completion_tokens)
        if self._budget.unit == "usd":
            done, needed = f"${spent:.6f} is spent", f"${more:.6f}"
        else:
            done, needed = f"{spent:,} tokens are spent", f"{more:,}"
        return (
            f"--budget allows {self._budget}, {done} and the next call may take {needed}: every answer so far is kept; "
            "give the command again to go on, with as much again or another --budget"
        )
