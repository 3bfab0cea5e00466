"""What `python -m benchmarks validate` asks of every kind of data: read it all, count it, name each fault and go on.

Opening data stops at its first fault, for a run must not begin on faulty data. A survey reads the same data with
the same rules and stops at none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from spae.errors import DataError


@dataclass(frozen=True)
class Fault:
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
        """All of it, as an error says it."""
        where = " ".join(part for part in (self.file if self.file != "." else "", self.field) if part)
        return f"{where}: {self.message}" if where else self.message


Report = Callable[[Fault], None]
"""What a reader does with a fault: an opener raises it (`refuse`), a survey keeps it and reads on."""


def refuse(fault: Fault) -> None:
    """The `Report` of an opener. Raises DataError."""
    raise DataError(fault.line)


@contextmanager
def told(report: Report | None, file: str, field: str = "") -> Iterator[None]:
    """A block whose DataErrors are told as faults of `file`; with no `report` they go on as they are."""
    try:
        yield
    except DataError as error:
        if report is None:
            raise
        report(Fault(file, field, str(error)))


@runtime_checkable
class Survey(Protocol):
    """Data that is read whole, faults and all. Writes nothing.

    Attributes:
        title: one line that says what was found at the path ("published few-shot archive", "folder of class folders").
        total: about how many things `faults` will read, for a progress bar; 0 where nobody knows.
        counts: what there is, by name ("classes", "images", "episodes", "captions", "questions"); whole once
            `faults` has ended.
    """

    title: str
    total: int
    counts: dict[str, int]

    def faults(self) -> Iterator[Fault | None]:
        """Reads everything, once. Gives every `Fault`, and a None for each thing read, for the progress bar.

        Raises:
            DataError: there is nothing to read at all (no such path).
        """
        ...
