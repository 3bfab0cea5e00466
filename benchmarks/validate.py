"""Reads all data of a task, counts it and names every issue; asks no model and writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from spae.data.issues import DataIssue
from spae.data.same_images import same_images
from spae.data.validation import Survey
from spae.errors import SpaeError
from tasks.errors import TaskError
from tasks.registry import TaskEntry, entry, open_survey, open_task


@dataclass(frozen=True)
class Findings:
    """The result of reading one task's data.

    Attributes:
        title: the kind of data.
        counts: name -> number: "images", "classes", ...
        settings: ids of the task's settings that the data has samples for; None if something cannot be read.
        infeasible: setting id -> why the data has no samples for it.
        issues: in the order they were found.
    """

    task: str
    data: str
    title: str
    counts: dict[str, int]
    settings: tuple[str, ...] | None
    infeasible: dict[str, str]
    issues: tuple[DataIssue, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @property
    def by_file(self) -> dict[str, int]:
        """Issues per file, most first."""
        return dict(Counter(issue.file for issue in self.issues).most_common())


def survey_data(
    task: str, data: str | None, progress: Callable[[int, int], None], on_issue: Callable[[DataIssue], None]
) -> Findings:
    """Reads the data of a task.

    Args:
        task: name in the registry.
        data: as of `--data`; None for the task's default.
        progress: called with (things read, their estimated number or 0).
        on_issue: called with each issue when it is found.

    Raises:
        TaskError, SpaeError: the task is unknown, or there is nothing to read.
    """
    facts = entry(task)
    name = data or facts.default_data
    survey = open_survey(facts, name)
    issues: list[DataIssue] = []
    read = 0
    for one in survey.issues():
        if one is None:
            read += 1
            progress(read, survey.total)
        else:
            issues.append(one)
            on_issue(one)
    settings, infeasible = (None, {}) if issues else _feasible(facts, survey)
    if settings == ():
        issues.append(DataIssue(".", "", next(iter(infeasible.values()))))
        on_issue(issues[-1])
    if settings:
        for same in same_images(survey.opened(), survey.digests):
            issues.append(same)
            on_issue(same)
    return Findings(task, name, survey.title, dict(survey.counts), settings, infeasible, tuple(issues))


def _feasible(facts: TaskEntry, survey: Survey) -> tuple[tuple[str, ...], dict[str, str]]:
    """The settings that have a first sample, and for each other one the reason."""
    task = open_task(facts.name)
    infeasible: dict[str, str] = {}
    try:
        data = survey.opened()
    except SpaeError as error:
        return (), dict.fromkeys(task.settings, str(error))
    for setting in task.settings:
        try:
            task.samples(data, (setting,), 0, 1)
        except TaskError as error:
            infeasible[setting] = str(error)
    return tuple(setting for setting in task.settings if setting not in infeasible), infeasible
