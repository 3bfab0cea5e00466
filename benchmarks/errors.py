"""Errors of the command line, and the list of all that it answers with exit code 2.

BenchmarkError
└── UsageError    options that do not go together, or a value that is none of an option's
"""

from __future__ import annotations


class BenchmarkError(Exception):
    """Base of every deliberate error of this package."""


class UsageError(BenchmarkError):
    """Options that do not go together, or a value that is none of an option's."""


def deliberate_errors() -> tuple[type[Exception], ...]:
    """Every room's base error: what a user can mend, told in one line."""
    from llm_backends.errors import BackendError
    from results.errors import ResultsError
    from spae.errors import SpaeError
    from tasks.errors import TaskError

    return (BenchmarkError, SpaeError, TaskError, BackendError, ResultsError)
