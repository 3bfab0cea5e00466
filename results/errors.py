"""Every error `results` raises on purpose.

ResultsError
├── RecordError    a record or summary file is broken, or does not belong to this run
└── ReportError    a report cannot be made from what is there

A message states the rule, the value seen and the fix, on one line.
"""


class ResultsError(Exception):
    """Base of every deliberate error of this package."""


class RecordError(ResultsError):
    """A record or summary file is broken, or does not belong to this run."""


class ReportError(ResultsError):
    """A report cannot be made from what is there."""
