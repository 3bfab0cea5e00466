"""How fast a server is asked: how many calls at once, and how long to wait after one that failed.

All of it lives on one event loop, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

FIRST_WAIT = 0.5
"""Seconds, about, before the second attempt; doubled before each further one."""
LONGEST_WAIT = 60.0
"""Seconds at most before any attempt, whatever a server asks for."""


class Pace:
    """Slots for calls, as many as the server seems to bear.

    Additive increase, multiplicative decrease, as TCP has it: each answer adds a part of a slot (a whole one for a
    round of answers), and a refusal for too many calls halves them, once for all calls that were under way together.

    Args:
        most: calls at once, at the most and at the beginning.
        clock: seconds, only ever forwards.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._room = float(most)
        self._busy = 0
        self._resume_at = -math.inf
        self._slowed_at = -math.inf
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def room(self) -> int:
        """Calls at once, as things stand."""
        return int(self._room)

    def now(self) -> float:
        """Seconds, to be handed to `refused`."""
        return self._clock()

    async def acquire(self) -> None:
        """Waits for a slot, and for the time that a server asked for to be over."""
        while True:
            pause = self._resume_at - self._clock()
            if pause > 0:
                await asyncio.sleep(pause)
                continue
            if self._busy < self.room:
                self._busy += 1
                return
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it was this one's turn, and nobody else was told
                    self._wake()
                raise

    def release(self) -> None:
        """Gives a slot back."""
        self._busy -= 1
        self._wake()

    def _wake(self) -> None:
        free = self.room - self._busy
        while free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1

    def answered(self) -> None:
        """A call went well: there may be room for more."""
        self._room = min(float(self._most), self._room + 1 / self._room)

    def refused(self, sent_at: float, wait: float | None) -> None:
        """The server says that calls are too many: fewer at once, and none at all before `wait` seconds are over.

        Args:
            sent_at: when that call was sent; one sent before the last slowing down says nothing new.
            wait: what the server asked for (`retry_after`); None where it named no time.
        """
        now = self._clock()
        if sent_at > self._slowed_at:
            self._room = max(1.0, self._room / 2)
            self._slowed_at = now
        if wait is not None:
            self._resume_at = max(self._resume_at, now + wait)


def backoff(attempt: int, seed: str) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1): doubling, spread from half of that to all of it.

    The spread is drawn from `seed`, the same in every run, so that calls which failed together do not come together.
    """
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))
    return longest * (0.5 + random.Random(f"{seed}:{attempt}").random() / 2)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that a server asks to wait, from 0 to `LONGEST_WAIT`; None where it does not say, or not legibly.

    Read are `retry-after-ms`, and `retry-after` in seconds or as a date. A date is compared with the server's own
    clock, where its answer carries it, because the two machines' clocks may differ.

    Args:
        headers: of the answer, with names in lower case or in any.
        now: seconds since 1970; the time of this machine where None.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    seconds = _number(headers.get("retry-after")) if milliseconds is None else milliseconds / 1000
    if seconds is None:
        until, there = _date(headers.get("retry-after")), _date(headers.get("date"))
        if until is None:
            return None
        if there is None:
            there = time.time() if now is None else now
        seconds = max(0.0, until - there)
    return min(seconds, LONGEST_WAIT)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
