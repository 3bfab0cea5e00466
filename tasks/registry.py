"""The tasks by name: static facts to list them, and where to load each from.

Standard library only, so that `ls` and `--help` answer at once. A third party adds a task by an entry point of
group `spae.tasks` whose object is a `TaskEntry`; keep the module that holds the entry light, for listing imports it,
and name the task itself in `target`, which is imported only when the task is opened.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spae.plugins import LIST_SECONDS, PluginError, check_kind, load_part, open_part, plugins
from tasks.errors import TaskError, TaskInputError
from tasks.settings import SETTING_IDS

if TYPE_CHECKING:
    from spae.data.protocol import ImageSet
    from spae.data.validation import Survey
    from tasks.protocol import Task

GROUP = "spae.tasks"


@dataclass(frozen=True)
class TaskEntry:
    """What is known of a task without loading it.

    Attributes:
        name: as the user types it.
        target: "module:attribute" of a callable that takes nothing and returns the Task.
        title: one line for lists and reports.
        paper_table: where the paper reports it ("Table 1"); "" where it does not.
        settings: ids of its settings, in the paper's order.
        metric: the name of its main number.
        default_data: the data it uses where `--data` names none.
        scorings: the scoring rules it knows, default first.
        styles: the prompt styles it knows, default first.
        needs: what else it needs to run, by the name of the extra or program; () for nothing.
        problem: why it cannot be opened (a broken plug-in); None where it can.
        opens: "module:attribute" of `(text) -> data`, which makes of what follows `--data` what `Task.samples` takes.
        surveys: "module:attribute" of `(text) -> spae.data.validation.Survey`, for `validate`.
    """

    name: str
    target: str
    title: str
    paper_table: str
    settings: tuple[str, ...]
    metric: str
    default_data: str
    scorings: tuple[str, ...]
    styles: tuple[str, ...]
    needs: tuple[str, ...] = ()
    problem: str | None = None
    opens: str = "spae.data.opening:open_set"
    surveys: str = "spae.data.validation:survey_labelled"


def _few_shot(ways: int, target: str) -> TaskEntry:
    return TaskEntry(
        name=f"miniimagenet-{ways}way",
        target=target,
        title=f"Few-shot classification, {ways}-way, seven settings",
        paper_table="Table 1",
        settings=SETTING_IDS,
        metric="accuracy",
        default_data="pictograms",
        scorings=("exact", "prefix", "contains", "ranked"),
        styles=("gpt", "palm"),
    )


BUILT_IN: dict[str, TaskEntry] = {
    "miniimagenet-2way": _few_shot(2, "tasks.fewshot.task:two_way"),
    "miniimagenet-5way": _few_shot(5, "tasks.fewshot.task:five_way"),
    "coco-captioning": TaskEntry(
        name="coco-captioning",
        target="tasks.captioning.task:CaptioningTask",
        title="Captions of images, ten examples; the metrics of COCO",
        paper_table="Figure 5",
        settings=("shots=10",),
        metric="ROUGE-L",
        default_data="scenes",
        scorings=("rouge-l",),
        styles=("gpt", "palm"),
        opens="spae.data.opening:open_captions",
        surveys="spae.data.validation:survey_captions",
    ),
    "coco-qa": TaskEntry(
        name="coco-qa",
        target="tasks.vqa.coco_qa:CocoQaTask",
        title="Questions about images, 10-way, 1 shot; exact match and WUPS",
        paper_table="Figure 5",
        settings=("ways=10",),
        metric="accuracy",
        default_data="scenes",
        scorings=("exact", "normalised", "prefix", "contains", "ranked"),
        styles=("gpt", "palm"),
        opens="spae.data.opening:open_coco_qa",
        surveys="spae.data.validation:survey_coco_qa",
    ),
    "real-fast-vqa": TaskEntry(
        name="real-fast-vqa",
        target="tasks.vqa.task:VqaTask",
        title="Questions about images, 2-way, 1, 3 or 5 shots",
        paper_table="Table 3",
        settings=("shots=1", "shots=3", "shots=5"),
        metric="accuracy",
        default_data="scenes",
        scorings=("exact", "normalised", "prefix", "contains", "ranked"),
        styles=("gpt", "palm"),
        opens="spae.data.opening:open_vqa",
        surveys="spae.data.validation:survey_vqa",
    ),
}


def entries() -> dict[str, TaskEntry]:
    """Every task by name: the built-in ones in the paper's order, then plug-ins by name.

    A plug-in that cannot be imported, or that takes a name already taken, is listed under
    `name@distribution` with its `problem`: it is never dropped unseen, nor does it stop the other tasks.
    """
    found = dict(BUILT_IN)
    for one in plugins(GROUP):
        try:
            entry = load_part(one.target, LIST_SECONDS)
            check_kind(one, entry, TaskEntry)
            if entry.name != one.name:
                raise PluginError(f"{one} must have the name of its entry point, got {entry.name!r}")
            if entry.name in found:
                raise PluginError(f"{one} takes the name {entry.name!r}, which is taken: rename its entry point")
        except PluginError as error:
            label, said = f"{one.name}@{one.owner}", str(error)
            entry = TaskEntry(label, one.target, said, "", (), "", "", (), (), problem=said)
        found[entry.name] = entry
    return found


def entry(name: str) -> TaskEntry:
    """The facts of one task.

    Raises:
        TaskInputError: there is no task of that name (the message names the nearest one).
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    known = entries()
    if name not in known:
        for one in known.values():
            if one.problem is not None and one.name.partition("@")[0] == name:
                raise TaskInputError(one.problem)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise TaskInputError(f"unknown task {name!r}: {hint}known: {', '.join(known)}")
    return known[name]


def open_task(name: str) -> Task:
    """The task of that name, loaded now.

    Raises:
        TaskInputError: there is none of that name, or it cannot be loaded.
        PluginError: another package adds it, and it does not load or is no task.
    """
    facts = entry(name)
    if facts.problem is not None:
        raise TaskInputError(facts.problem)
    from tasks.protocol import Task  # pydantic, which a listing does not need

    try:
        task: Task = open_part(facts.target, lambda make: make(), (TaskError,), Task)
    except (ImportError, AttributeError) as error:
        raise TaskInputError(f"task {name!r} cannot be loaded from {facts.target!r}: {error}") from error
    return task


def open_data(facts: TaskEntry, text: str) -> ImageSet:
    """What follows `--data` (a name or a path), opened as this task reads it.

    Raises:
        TaskInputError: the task's reader cannot be loaded.
        SpaeError: the data cannot be used, or are of a kind that the task does not take.
    """
    data: ImageSet = _load(facts.name, facts.opens)(text)
    return data


def open_survey(facts: TaskEntry, text: str) -> Survey:
    """The same data, to be read whole, faults and all. Raises as `open_data` where there is nothing to read."""
    survey: Survey = _load(facts.name, facts.surveys)(text)
    return survey


def _load(name: str, target: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = load_part(target)
    except (ImportError, AttributeError) as error:
        raise TaskInputError(f"task {name!r} cannot be loaded from {target!r}: {error}") from error
    return found
