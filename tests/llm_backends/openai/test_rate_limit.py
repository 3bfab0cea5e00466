"""Rate limiting: concurrency, pauses, backoff and Retry-After."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest

from llm_backends.openai.rate_limit import LONGEST_WAIT, RateLimit, backoff, retry_after


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_refusal_halves_concurrency_once_and_answers_restore_it() -> None:
    clock = Clock()
    pace = RateLimit(16, clock)
    sent = pace.now()
    clock.now += 1
    for _ in range(5):  # all five were sent before the first came back
        pace.refused(sent, None)
    assert pace.room == 8
    clock.now += 1
    pace.refused(pace.now(), None)
    assert pace.room == 4
    for _ in range(5):
        pace.answered()
    assert pace.room == 5  # a round of answers is one slot more
    for _ in range(1000):
        pace.answered()
    assert pace.room == 16
    for _ in range(20):
        clock.now += 1
        pace.refused(pace.now(), None)
    assert pace.room == 1


def test_concurrency_is_limited() -> None:
    async def run() -> int:
        pace = RateLimit(6)
        busy = most = 0

        async def call(i: int) -> None:
            nonlocal busy, most
            await pace.acquire()
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.001)
            busy -= 1
            pace.release()

        await asyncio.gather(*(call(i) for i in range(100)))
        return most

    assert asyncio.run(run()) == 6


def test_all_calls_wait_for_a_servers_pause() -> None:
    async def run() -> float:
        pace = RateLimit(4)
        pace.refused(pace.now(), 0.15)
        started = pace.now()
        await asyncio.gather(*(pace.acquire() for _ in range(2)))
        return pace.now() - started

    assert asyncio.run(run()) >= 0.14


def test_a_cancelled_waiter_passes_its_turn_on() -> None:
    async def run() -> None:
        pace = RateLimit(1)
        await pace.acquire()
        first, second = asyncio.create_task(pace.acquire()), asyncio.create_task(pace.acquire())
        await asyncio.sleep(0)
        pace.release()  # it is the first one's turn now
        first.cancel()
        await asyncio.wait_for(second, 1)
        assert first.cancelled()

    asyncio.run(run())


def test_backoff_doubles_within_limits_and_is_deterministic() -> None:
    for attempt in range(1, 12):
        longest = min(LONGEST_WAIT, 0.5 * 2 ** (attempt - 1))
        waits = [backoff(attempt, f"request {i}") for i in range(50)]
        assert all(longest / 2 <= wait <= longest for wait in waits)
        assert len(set(waits)) == 50  # calls that failed together do not come together
        assert waits == [backoff(attempt, f"request {i}") for i in range(50)]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "3600"}, LONGEST_WAIT),
        ({"retry-after-ms": "9e9"}, LONGEST_WAIT),
        ({"retry-after": formatdate(2_000_000, usegmt=True)}, LONGEST_WAIT),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(999_000, usegmt=True)}, 0.0),
        # The server's clock is an hour ahead of ours: its own date counts.
        ({"retry-after": formatdate(1_003_610, usegmt=True), "date": formatdate(1_003_600, usegmt=True)}, 10.0),
        ({"retry-after": formatdate(1_000_030, usegmt=True), "date": "nonsense"}, 30.0),
    ],
)
def test_retry_after_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=1_000_000) == (None if seconds is None else pytest.approx(seconds))
