"""How far a run is: a bar on a terminal; elsewhere (a pipe, CI) a line every so often, which a log can keep."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from spae.console import SafeProgress

LINE_SECONDS = 10.0
"""Between two lines where there is no terminal."""


class Advance(Protocol):
    """Told of samples that are done."""

    def __call__(self, count: int, /) -> None:
        """Adds `count`."""
        ...


@contextmanager
def shown_progress(console: Console, what: str, total: int) -> Iterator[Advance]:
    """Shows progress for a block.

    Args:
        console: to print on.
        what: is counted: "samples".
        total: of them.
    """
    if console.is_terminal:
        with _bar(console) as progress:
            bar = progress.add_task(what, total=total)

            def advance(count: int) -> None:
                progress.advance(bar, count)

            yield advance
        return
    lines = ProgressLines(console, what, total)
    lines.print()
    yield lines.advance
    lines.print()


class ProgressLines:
    """A line with the count, the time and the time left, at most every `LINE_SECONDS`."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        self._console = console
        self._what = what
        self._total = total
        self._done = 0
        self._begun = self._printed = time.monotonic()

    def advance(self, count: int) -> None:
        """Adds `count`, and prints if the last line is long ago."""
        self._done += count
        if time.monotonic() - self._printed >= LINE_SECONDS:
            self.print()

    def print(self) -> None:
        """Prints a line now."""
        self._printed = time.monotonic()
        elapsed = self._printed - self._begun
        line = f"{self._what}: {self._done:,}/{self._total:,}"
        if self._done:
            line += f", {_clock(elapsed)}"
        if 0 < self._done < self._total:
            line += f", about {_clock(elapsed * (self._total - self._done) / self._done)} left"
        self._console.print(line, highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _bar(console: Console) -> SafeProgress:
    return SafeProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
