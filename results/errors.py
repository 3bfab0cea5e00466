"""Every error `results` raises on purpose.

ResultsError
├── RecordError        a record or summary file is broken, or does not belong to this run
│   ├── RunExists      the folder already holds records of this run
│   └── RunDiffers     the folder holds records of another run
├── ReportError        a report cannot be made from what is there
└── BaselineError      a folder is not a baseline, or one of its files is broken

A message states the rule, the value seen and the fix, on one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.differences import Difference

if TYPE_CHECKING:
    from pydantic import ValidationError


class ResultsError(Exception):
    """Base of every deliberate error of this package."""


class RecordError(ResultsError):
    """A record or summary file is broken, or does not belong to this run."""


class RunExists(RecordError):
    """The folder already holds records and resuming was not asked for; the caller may resume, restart or stop."""


class RunDiffers(RecordError):
    """The folder holds records of another run.

    Attributes:
        differences: every field that differs.
    """

    def __init__(self, message: str, differences: Sequence[Difference]) -> None:
        super().__init__(message)
        self.differences = tuple(differences)


class ReportError(ResultsError):
    """A report cannot be made from what is there."""


class BaselineError(ResultsError):
    """A folder is not a baseline, or one of its files is broken."""


def first_fault(error: ValidationError, whole: str = "file") -> str:
    """The first fault that pydantic found, as "where: what" on one line; `whole` stands for a fault of no one field.

    The value itself is left out: it may be long, and is not ours.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or whole
    return f"{where}: {first['msg']}"
