"""Rate limiting: how many calls at once, and how long to wait after a failed one.

All of it runs on one event loop, so nothing is locked.
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
"""Seconds, approximately, before the second attempt; doubled before each further one."""
LONGEST_WAIT = 60.0
"""Seconds at most before any attempt, whatever a server asks for."""


class RateLimit:
    """Slots for calls: additive increase, multiplicative decrease, as in TCP.

    Each answer adds a fraction of a slot (one per round of answers); a 429 halves them, once for all calls that were
    under way together.

    Args:
        most: calls at once, at most and at the start.
        clock: seconds, monotonic.
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
        """Calls at once, currently."""
        return int(self._room)

    def now(self) -> float:
        """Seconds on the clock, for `refused`."""
        return self._clock()

    async def acquire(self) -> None:
        """Waits for a slot, and for the end of a pause that the server asked for."""
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
                if not turn.cancelled():  # this one was woken and cannot use its turn
                    self._wake()
                raise

    def release(self) -> None:
        """Frees a slot."""
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
        """After a successful call: allows slightly more."""
        self._room = min(float(self._most), self._room + 1 / self._room)

    def refused(self, sent_at: float, wait: float | None) -> None:
        """After a call that was throttled: halves the slots, and pauses for `wait` seconds.

        Args:
            sent_at: when that call was sent; calls sent before the last slowdown do not count again.
            wait: what the server asked for (`retry_after`); None if it named no time.
        """
        now = self._clock()
        if sent_at > self._slowed_at:
            self._room = max(1.0, self._room / 2)
            self._slowed_at = now
        if wait is not None:
            self._resume_at = max(self._resume_at, now + wait)


def backoff(attempt: int, seed: str) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1): doubling, with jitter from half of that to all of it.

    The jitter depends on `seed`, so it is the same in every run, and calls that failed together spread out.
    """
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))
    return longest * (0.5 + random.Random(f"{seed}:{attempt}").random() / 2)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that a server asks to wait, from 0 to `LONGEST_WAIT`; None if it does not say.

    Reads `retry-after-ms`, and `retry-after` in seconds or as a date. A date is compared with the answer's own date,
    if it has one, because the two machines' clocks may differ.

    Args:
        headers: of the answer, case-insensitive or with lower-case names.
        now: seconds since 1970; None for this machine's time.
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
