"""Budgets: nothing is ever spent beyond them, whatever is under way."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

import pytest

from llm_backends.errors import BudgetSpent
from llm_backends.openai.budget import TEMPLATE_TOKENS, BudgetTracker, Reservation
from llm_backends.openai.options import Budget, Price


def test_what_a_call_may_take() -> None:
    assert Reservation.of("aé", 7) == Reservation(3 + TEMPLATE_TOKENS, 7)
    assert Reservation.of((5, 6), 1) == Reservation(2 + TEMPLATE_TOKENS, 1)


def test_books_are_kept() -> None:
    async def run() -> BudgetTracker:
        ledger = BudgetTracker(None, Price.parse("1,2"))
        for _ in range(5):
            await ledger.reserve(Reservation(100, 10))
        ledger.settle(Reservation(100, 10), (40, 5))
        ledger.settle(Reservation(100, 10), None)
        ledger.fail(Reservation(100, 10), "429", charged=False)
        ledger.fail(Reservation(100, 10), "timeout", charged=True)
        ledger.fail(Reservation(100, 10), "broken off", charged=True, used=(41, 1))
        return ledger

    usage = asyncio.run(run()).usage
    assert (usage.answers, usage.calls, usage.failures) == (2, 5, {"429": 1, "timeout": 1, "broken off": 1})
    assert (usage.prompt_tokens, usage.completion_tokens) == (40 + 100 + 100 + 41, 5 + 10 + 10 + 1)
    assert (usage.estimated_calls, usage.estimated_tokens) == (2, 220)
    assert usage.dollars == Decimal(281 * 1 + 26 * 2) / 1_000_000


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("text", ["5000tok", "0.008usd"])
def test_a_budget_is_never_exceeded_and_nearly_used_up(text: str, seed: int) -> None:
    """A hundred workers that want all they can get, and learn what a call took only afterwards."""
    budget, price = Budget.parse(text), Price.parse("1,3")
    random_numbers = random.Random(seed)

    async def run() -> tuple[BudgetTracker, list[BudgetSpent]]:
        ledger, stopped = BudgetTracker(budget, price), []

        async def work() -> None:
            while True:
                hold = Reservation(random_numbers.randint(50, 150), 20)
                try:
                    await ledger.reserve(hold)
                except BudgetSpent as error:
                    stopped.append(error)
                    return
                await asyncio.sleep(0)
                if random_numbers.random() < 0.2:
                    ledger.fail(hold, "500", charged=False)
                else:
                    ledger.settle(hold, (random_numbers.randint(1, hold.prompt_tokens), 20))

        await asyncio.gather(*(work() for _ in range(100)))
        return ledger, stopped

    ledger, stopped = asyncio.run(run())
    usage = ledger.usage
    assert usage.dollars is not None
    spent = Decimal(usage.tokens) if budget.unit == "tok" else usage.dollars
    most = Decimal(170) if budget.unit == "tok" else price.of(150, 20)
    assert budget.amount - most < spent <= budget.amount
    assert len(stopped) == 100 and "--budget" in str(stopped[0])


def test_a_call_under_way_may_leave_room_after_all() -> None:
    async def run() -> list[str]:
        ledger, said = BudgetTracker(Budget.parse("150tok"), None), []

        async def second() -> None:
            await ledger.reserve(Reservation(90, 10))
            said.append("second")

        await ledger.reserve(Reservation(90, 10))
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        said.append("first")
        ledger.settle(Reservation(90, 10), (30, 10))
        await waiting
        return said

    assert asyncio.run(run()) == ["first", "second"]
