"""Progress of work deep inside a library call, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Report = Callable[[str, int, int], None]
"""Takes what is being done, how much of it is done, and how much there is."""

_report: ContextVar[Report | None] = ContextVar("report", default=None)


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """Send the progress of everything inside the block to `report`."""
    before = _report.set(report)
    try:
        yield
    finally:
        _report.reset(before)


def report_progress(what: str, done: int, total: int) -> None:
    """Say how far some work is; without a listener, nothing happens."""
    report = _report.get()
    if report is not None:
        report(what, done, total)
