"""What holds for every test: in CI nothing is skipped, and chance is the same in every run."""

from __future__ import annotations

import os
from collections.abc import Generator

import hypothesis
import pytest

IN_CI = os.environ.get("CI", "").lower() in ("1", "true")

# A shared machine may stall for longer than Hypothesis' 200 ms; in CI it must also draw the same examples each time.
hypothesis.settings.register_profile("house", deadline=None, derandomize=IN_CI)
hypothesis.settings.load_profile("house")


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI, a skip means that something is not installed there: that is a failure, with the skip's own words."""
    excused = {"gpu", "brought"} & set(getattr(report, "keywords", {}))
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and not excused:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} may not be skipped in CI: install what it needs. {why}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report
