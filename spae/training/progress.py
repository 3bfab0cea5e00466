"""The progress of a run: of the work before its first step, then steps, images a second, time left and loss terms."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from spae.console import SafeProgress
from spae.work_progress import reporting

SHOWN = ("mse", "semantic", "gan", "total")
NAME_WIDTH = 20
LINE_SECONDS = 10.0
"""Without a terminal, a line is printed as often."""


class ImageRate(ProgressColumn):
    """Images a second, over the last steps.

    Args:
        batch: images of one step.
    """

    def __init__(self, batch: int) -> None:
        super().__init__(Column(no_wrap=True))
        self._batch = batch

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("- images/s" if speed is None else f"{speed * self._batch:,.0f} images/s")


class TimeLeft(TimeRemainingColumn):
    """The time left, with its name."""

    def render(self, task: Task) -> Text:
        return Text.assemble(super().render(task), " left")


class _TwoLines(SafeProgress):
    """A bar with the loss terms on a line of their own, so that both fit 80 columns."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            if task.fields["note"]:
                yield Text(task.fields["note"], no_wrap=True, overflow="ellipsis")


class StepBar(AbstractContextManager["StepBar"]):
    """One bar for one run; without a terminal, a line every ten seconds and at the end.

    Args:
        name: of the recipe.
        steps: of the whole run.
        done: steps done before this run resumed.
        batch: images of one step.
        console: to draw on.
        shown: False on all processes but the first.
    """

    def __init__(self, name: str, steps: int, done: int, batch: int, console: Console, shown: bool = True) -> None:
        self._name, self._steps, self._start, self._batch, self._console = name, steps, done, batch, console
        self._lines = shown and not console.is_terminal
        self._begun = self._printed = time.monotonic()
        self._note = ""
        self._progress = _TwoLines(
            TextColumn("{task.description}", table_column=Column(max_width=NAME_WIDTH, no_wrap=True)),
            BarColumn(bar_width=8),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps", table_column=Column(no_wrap=True)),
            ImageRate(batch),
            TimeLeft(table_column=Column(no_wrap=True)),
            console=console,
            transient=False,
            disable=not shown or self._lines,
            refresh_per_second=2,  # rendering takes milliseconds, and a step may take no more
        )
        self._task = self._progress.add_task(name, total=steps, completed=done, note="")

    def __enter__(self) -> StepBar:
        self._progress.start()
        self._begun = self._printed = time.monotonic()
        return self

    def update(self, done: int, terms: Mapping[str, float]) -> None:
        """Show the steps done, and the terms of the last one if they were read."""
        if terms:
            shown = ((name, terms.get(f"loss/{name}")) for name in SHOWN)
            self._note = " ".join(f"{name} {value:.3f}" for name, value in shown if value is not None)
        self._progress.update(self._task, completed=done, note=self._note)
        if self._lines and (done == self._steps or time.monotonic() - self._printed >= LINE_SECONDS):
            self._print(done)

    def _print(self, done: int) -> None:
        self._printed = time.monotonic()
        each = (self._printed - self._begun) / max(1, done - self._start)
        left = round(each * (self._steps - done))
        rate = self._batch / each if each else 0.0
        line = f"{self._name}: {done}/{self._steps} steps, {rate:,.0f} images/s, {left // 3600}:{left // 60 % 60:02}:"
        self._console.print(
            f"{line}{left % 60:02} left{', ' if self._note else ''}{self._note}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


@contextmanager
def showing_work(console: Console, shown: bool = True) -> Iterator[None]:
    """Show what `report_progress` reports inside the block: a bar; without a terminal, a line every ten seconds."""
    bars = SafeProgress(
        TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeLeft(),
        console=console, transient=True, disable=not shown or not console.is_terminal,
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}
    printed: dict[str, float] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done)
        now = time.monotonic()
        if shown and not console.is_terminal and (now - printed.get(what, 0.0) >= LINE_SECONDS or done == total):
            printed[what] = now
            console.print(f"{what}: {done:,} of {total:,}", markup=False, highlight=False, soft_wrap=True)

    with bars, reporting(report):
        yield
