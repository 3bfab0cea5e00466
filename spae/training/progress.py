"""The progress bar of a run: steps, images a second, time left, and the main loss terms."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from spae.console import SafeProgress

SHOWN = ("mse", "semantic", "gan", "total")


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


class StepBar(AbstractContextManager["StepBar"]):
    """One bar for one run.

    Args:
        name: of the recipe.
        steps: of the whole run.
        done: steps done before this run resumed.
        batch: images of one step.
        console: to draw on.
        shown: False on all processes but the first.
    """

    def __init__(self, name: str, steps: int, done: int, batch: int, console: Console, shown: bool = True) -> None:
        self._progress = SafeProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
            ImageRate(batch),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=False,
            disable=not shown,
            refresh_per_second=2,  # rendering takes milliseconds, and a step may take no more
        )
        self._task = self._progress.add_task(name, total=steps, completed=done, note="")

    def __enter__(self) -> StepBar:
        self._progress.start()
        return self

    def update(self, done: int, terms: Mapping[str, float]) -> None:
        """Show the steps done, and the terms of the last one if they were read."""
        if terms:
            shown = ((name, terms.get(f"loss/{name}")) for name in SHOWN)
            note = " ".join(f"{name} {value:.3f}" for name, value in shown if value is not None)
            self._progress.update(self._task, completed=done, note=note)
        else:
            self._progress.update(self._task, completed=done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
