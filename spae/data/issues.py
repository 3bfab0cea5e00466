"""What `python -m benchmarks validate` asks of every kind of data: read it all, count it, name each issue and go on.

Opening data stops at its first issue, for a run must not begin on faulty data. A survey reads the same data with
the same rules and stops at none.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from spae.data.image_file import SUFFIXES, read_image
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
        """All of it, as an error says it."""
        where = " ".join(part for part in (self.file if self.file != "." else "", self.field) if part)
        return f"{where}: {self.message}" if where else self.message


Report = Callable[[DataIssue], None]
"""What a reader does with a issue: an opener raises it (`raise_issue`), a survey keeps it and reads on."""


def raise_issue(issue: DataIssue) -> None:
    """The `Report` of an opener. Raises DataError."""
    raise DataError(issue.line)


@contextmanager
def reported(report: Report | None, file: str, field: str = "") -> Iterator[None]:
    """A block whose DataErrors are reported as issues of `file`; without a `report` they propagate."""
    try:
        yield
    except DataError as error:
        if report is None:
            raise
        report(DataIssue(file, field, str(error)))


@runtime_checkable
class Survey(Protocol):
    """Data that is read whole, issues and all. Writes nothing.

    Attributes:
        title: one line that says what was found at the path ("published few-shot archive", "folder of class folders").
        total: about how many things `issues` will read, for a progress bar; 0 where nobody knows.
        counts: what there is, by name ("classes", "images", "episodes", "captions", "questions"); whole once
            `issues` has ended.
    """

    title: str
    total: int
    counts: dict[str, int]

    def issues(self) -> Iterator[DataIssue | None]:
        """Reads everything, once. Gives every `DataIssue`, and a None for each thing read, for the progress bar.

        Raises:
            DataError: there is nothing to read at all (no such path).
        """
        ...


def decoded(name: str, read: Callable[[], Any]) -> Iterator[DataIssue | None]:
    """One image: its issue, if it has one, then None."""
    found: list[DataIssue] = []
    with warnings.catch_warnings(), reported(found.append, name):
        # Said by Pillow of sizes that are refused here anyway.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        read()
    yield from found
    yield None


def decoded_files(read: Callable[[str], bytes], names: Iterable[str]) -> Iterator[DataIssue | None]:
    """The images among the files of a tree, each decoded."""
    for name in names:
        if PurePosixPath(name).suffix.lower() in SUFFIXES:
            yield from decoded(name, lambda name=name: read_image(io.BytesIO(read(name)), name))  # type: ignore[misc]
