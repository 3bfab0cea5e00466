"""Ctrl-C and SIGTERM end a run after the step under way, so that nothing it computed is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any

import torch

from spae.distributed import all_reduce_min

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal; one line says what is kept.

    No SpaeError: what turns a library's errors into its own must not swallow it.

    Attributes:
        signal: its number.
    """

    def __init__(self, number: int, kept: str) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}: {kept}")
        self.signal = number


class StopSignals(AbstractContextManager["StopSignals"]):
    """Takes SIGINT and SIGTERM while open. Until `defer` they stop the run at once, then after the step under way.

    Args:
        say: prints a line.
        kept: says what a run that stops at once keeps.
        several: whether processes share the batch. A launcher passes signals on to all, some of them twice, so that a
            second one does not mean impatience.
    """

    def __init__(self, say: Callable[[str], object], kept: Callable[[], str], several: bool) -> None:
        self._say, self._kept, self._several = say, kept, several
        self._deferred = False
        self._received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        # Only the main thread may set handlers; a trainer in another one is stopped by whoever runs it.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def defer(self) -> None:
        """From now on there are steps to finish and a state to save."""
        self._deferred = True

    def agreed(self, device: torch.device) -> int:
        """The number of the signal that any of the processes received, 0 for none; every process must call it."""
        if not self._several:
            return self._received
        return int(-all_reduce_min(torch.tensor(-self._received, device=device)).item())

    def _take(self, number: int, frame: FrameType | None) -> None:
        again, self._received = self._received == number, number
        if not self._deferred or (again and not self._several):
            raise Interrupted(number, self._kept())
        if not again:
            more = "" if self._several else " (again to stop at once)"
            self._say(f"{signal.Signals(number).name}: the step under way is finished and saved{more}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
