"""Budgets are never exceeded, whatever is under way."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

import pytest

from llm_backends.errors import BudgetSpent
from llm_backends.openai.budget import TEMPLATE_TOKENS, BudgetTracker, Reservation
from llm_backends.openai.options import Budget, Price


def test_a_reservation_covers_every_byte() -> None:
    assert Reservation.of("aé", 7) == Reservation(3 + TEMPLATE_TOKENS, 7)
    assert Reservation.of((5, 6), 1) == Reservation(2 + TEMPLATE_TOKENS, 1)


def test_a_reservation_is_exact_where_tokens_can_be_counted() -> None:
    assert Reservation.of("a cat sat", 7, lambda text: len(text.split())) == Reservation(3 + TEMPLATE_TOKENS, 7)
    assert Reservation.of((5, 6), 1, lambda text: 99) == Reservation(2 + TEMPLATE_TOKENS, 1)


def test_calls_tokens_and_dollars_add_up() -> None:
    async def run() -> BudgetTracker:
        tracker = BudgetTracker(None, Price.parse("1,2"))
        for _ in range(5):
            await tracker.reserve(Reservation(100, 10))
        tracker.settle(Reservation(100, 10), (40, 5))
        tracker.settle(Reservation(100, 10), None)
        tracker.fail(Reservation(100, 10), "429", charged=False)
        tracker.fail(Reservation(100, 10), "timeout", charged=True)
        tracker.fail(Reservation(100, 10), "broken off", charged=True, used=(41, 1))
        return tracker

    usage = asyncio.run(run()).usage
    assert (usage.answers, usage.calls, usage.failures) == (2, 5, {"429": 1, "timeout": 1, "broken off": 1})
    assert (usage.prompt_tokens, usage.completion_tokens) == (40 + 100 + 100 + 41, 5 + 10 + 10 + 1)
    assert (usage.estimated_calls, usage.estimated_tokens) == (2, 220)
    assert usage.dollars == Decimal(281 * 1 + 26 * 2) / 1_000_000


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("text", ["5000tok", "0.008usd"])
def test_a_budget_is_nearly_used_up_and_never_exceeded(text: str, seed: int) -> None:
    """A hundred greedy workers, which learn what a call cost only afterwards."""
    budget, price = Budget.parse(text), Price.parse("1,3")
    random_numbers = random.Random(seed)

    async def run() -> tuple[BudgetTracker, list[BudgetSpent]]:
        tracker, stopped = BudgetTracker(budget, price), []

        async def work() -> None:
            while True:
                reservation = Reservation(random_numbers.randint(50, 150), 20)
                try:
                    await tracker.reserve(reservation)
                except BudgetSpent as error:
                    stopped.append(error)
                    return
                await asyncio.sleep(0)
                if random_numbers.random() < 0.2:
                    tracker.fail(reservation, "500", charged=False)
                else:
                    tracker.settle(reservation, (random_numbers.randint(1, reservation.prompt_tokens), 20))

        await asyncio.gather(*(work() for _ in range(100)))
        return tracker, stopped

    tracker, stopped = asyncio.run(run())
    usage = tracker.usage
    assert usage.dollars is not None
    spent = Decimal(usage.tokens) if budget.unit == "tok" else usage.dollars
    most = Decimal(170) if budget.unit == "tok" else price.of(150, 20)
    assert budget.amount - most < spent <= budget.amount
    assert len(stopped) == 100 and "budget allows" in str(stopped[0])


def test_a_reservation_waits_for_calls_under_way() -> None:
    async def run() -> list[str]:
        tracker, said = BudgetTracker(Budget.parse("150tok"), None), []

        async def second() -> None:
            await tracker.reserve(Reservation(90, 10))
            said.append("second")

        await tracker.reserve(Reservation(90, 10))
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        said.append("first")
        tracker.settle(Reservation(90, 10), (30, 10))
        await waiting
        return said

    assert asyncio.run(run()) == ["first", "second"]
