"""Errors of `benchmarks`, and the list of all that the command line answers with exit code 2.

BenchmarkError
├── UsageError         an option's value is wrong, or options do not go together
└── NothingAnswered    the model answered nothing, and failed alike each time

A message states the rule, the value seen and the fix, on one line.
"""

from __future__ import annotations


class BenchmarkError(Exception):
    """Base of every deliberate error of this package."""


class UsageError(BenchmarkError):
    """An option's value is wrong, or options do not go together."""


class NothingAnswered(BenchmarkError):
    """The model answered nothing, and failed alike each time."""


def deliberate_errors() -> tuple[type[Exception], ...]:
    """Every room's base error, and a plug-in's: mistakes that a user can correct."""
    from llm_backends.errors import BackendError
    from results.errors import ResultsError
    from spae.errors import SpaeError
    from spae.plugins import PluginError
    from tasks.errors import TaskError

    return (BenchmarkError, SpaeError, TaskError, BackendError, ResultsError, PluginError)
