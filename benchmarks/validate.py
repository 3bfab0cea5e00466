"""`validate`: reads the data of a task whole, counts them and names every fault; asks no model and writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from spae.data.issues import Fault, Survey
from spae.data.protocol import ImageSet
from spae.errors import SpaeError
from tasks.errors import TaskError
from tasks.registry import TaskEntry, entry, open_survey, open_task


@dataclass(frozen=True)
class Findings:
    """What a survey of one task's data found.

    Attributes:
        title: what kind of data it is.
        counts: what there is, by name.
        settings: ids of the task's settings that the data can give samples of; None where that was not tried,
            because there are faults or opening the data would write.
        lacking: setting id -> why the data cannot give it.
        faults: in the order they were met.
    """

    task: str
    data: str
    title: str
    counts: dict[str, int]
    settings: tuple[str, ...] | None
    lacking: dict[str, str]
    faults: tuple[Fault, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @property
    def by_file(self) -> dict[str, int]:
        """Faults of each file, most first."""
        return dict(Counter(fault.file for fault in self.faults).most_common())


@runtime_checkable
class Opens(Protocol):
    """A `Survey` that, when all is sound, can open its data without writing, to try whether the task can use them."""

    def opened(self) -> ImageSet:
        """The data. Raises SpaeError."""
        ...


def findings(
    task: str, data: str | None, progress: Callable[[int, int], None], fault: Callable[[Fault], None]
) -> Findings:
    """Surveys the data.

    Args:
        task: name in the registry.
        data: what follows `--data`; None is the task's own default.
        progress: told (things read, about how many there are, 0 for unknown).
        fault: told each fault when it is met.

    Raises:
        TaskError, SpaeError: the task is unknown, or there is nothing to read.
    """
    facts = entry(task)
    name = data or facts.default_data
    survey = open_survey(facts, name)
    found: list[Fault] = []
    read = 0
    for one in survey.faults():
        if one is None:
            read += 1
            progress(read, survey.total)
        else:
            found.append(one)
            fault(one)
    settings, lacking = (None, {}) if found else _tried(facts, survey)
    if settings == () and not found:
        found.append(Fault(".", "", next(iter(lacking.values()))))
        fault(found[-1])
    return Findings(task, name, survey.title, dict(survey.counts), settings, lacking, tuple(found))


def _tried(facts: TaskEntry, survey: Survey) -> tuple[tuple[str, ...] | None, dict[str, str]]:
    """The settings of which a first sample can be had, and why not of the others."""
    if not isinstance(survey, Opens):
        return None, {}
    task = open_task(facts.name)
    lacking: dict[str, str] = {}
    try:
        data = survey.opened()
    except SpaeError as error:
        return (), dict.fromkeys(task.settings, str(error))
    for setting in task.settings:
        try:
            task.samples(data, (setting,), 0, 1)
        except TaskError as error:
            lacking[setting] = str(error)
    return tuple(setting for setting in task.settings if setting not in lacking), lacking
