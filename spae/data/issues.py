"""Issues of data, and what a reader does with one: raise it, or report it and read on (`spae.data.validation`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from spae.errors import DataError


@dataclass(frozen=True)
class DataIssue:
    """One thing that is wrong with data.

    Attributes:
        file: where, as a path inside the data ("images/1.jpg", "captions_val2014.json"); "." for the data as a whole.
        field: where in the file ("line 12", "annotations[3].image_id", "[7].image_2"); "" for the file as a whole.
        message: the rule, the value seen and the fix, on one line.
    """

    file: str
    field: str
    message: str

    @property
    def line(self) -> str:
        """The issue as one line of an error."""
        where = " ".join(part for part in (self.file if self.file != "." else "", self.field) if part)
        return f"{where}: {self.message}" if where else self.message


Report = Callable[[DataIssue], None]
"""Called with each issue. A reader that gets none raises the first issue."""


@contextmanager
def reported(report: Report | None, file: str, field: str = "") -> Iterator[None]:
    """A block whose DataErrors are reported as issues of `file`; without a `report` they propagate."""
    try:
        yield
    except DataError as error:
        if report is None:
            raise
        report(DataIssue(file, field, str(error)))
