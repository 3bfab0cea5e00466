"""Listing and opening tasks, built in and plugged in."""

import subprocess
import sys
import types
from pathlib import Path

import pytest

from spae.plugins import Plugin, PluginError
from tasks import registry
from tasks.errors import TaskInputError
from tasks.protocol import Task
from tasks.registry import BUILT_IN, TaskEntry, entries, entry, open_task

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_built_in_tasks_open_and_agree_with_their_facts(name):
    task = open_task(name)
    facts = entry(name)
    assert isinstance(task, Task)
    assert (task.name, task.title, task.metrics[0].name, task.settings) == (
        name,
        facts.title,
        facts.metric,
        facts.settings,
    )
    few_shot = name.startswith("miniimagenet")
    assert (facts.paper_table, facts.default_data) == ("Table 1", "pictograms") or not few_shot


def test_scorings_and_styles_are_those_there_are():
    from typing import get_args

    from tasks.protocol import Style
    from tasks.scoring import RULES

    for facts in BUILT_IN.values():
        if facts.name.startswith("miniimagenet"):
            assert facts.scorings == tuple(name for name in RULES if name != "normalised")
        assert facts.styles == get_args(Style)
    assert BUILT_IN["real-fast-vqa"].scorings == ("exact", "normalised", "prefix", "contains", "ranked")


@pytest.mark.parametrize("name", ["miniimagenet-5wya", "imagenet-5way", "miniimagenet5way"])
def test_near_miss(name):
    with pytest.raises(TaskInputError, match="did you mean 'miniimagenet-5way'") as caught:
        open_task(name)
    assert "\n" not in str(caught.value)


def test_unknown_name_lists_what_there_is():
    with pytest.raises(TaskInputError, match="unknown task 'zzz': known: miniimagenet-2way, miniimagenet-5way"):
        open_task("zzz")


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, tasks.registry as r; r.entries();"
        "heavy = {'torch', 'numpy', 'pydantic', 'pandas', 'tasks.protocol', 'tasks.fewshot.task'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def plug_in(monkeypatch):
    """plug_in(name, **attributes of a module) installs an entry point `name` -> "third_party:ENTRY"."""
    points = []
    monkeypatch.setattr("spae.plugins._scan", lambda: tuple(points))

    def install(name, **attributes):
        module = types.ModuleType("third_party")
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, "third_party", module)
        points.append(Plugin("spae.tasks", name, "third_party:ENTRY", "third-party"))

    return install


def _facts(name, target="third_party:make"):
    return TaskEntry(name, target, "Theirs", "", ("only",), "accuracy", "pictograms", ("exact",), ("gpt",))


def test_plug_in_is_listed_last_and_opens(plug_in):
    task = open_task("miniimagenet-2way")
    plug_in("theirs", ENTRY=_facts("theirs"), make=lambda: task)
    assert list(entries()) == [*BUILT_IN, "theirs"]
    assert open_task("theirs") is task


@pytest.mark.parametrize(
    ("point", "attributes", "problem"),
    [
        ("broken", {}, "does not load: AttributeError"),
        ("broken", {"ENTRY": "no entry"}, "must give a TaskEntry, got str"),
        ("broken", {"ENTRY": _facts("other")}, "must have the name of its entry point, got 'other'"),
        ("miniimagenet-5way", {"ENTRY": _facts("miniimagenet-5way")}, "is taken: rename"),
    ],
)
def test_broken_plug_ins_are_listed_with_their_problem(plug_in, point, attributes, problem):
    plug_in(point, **attributes)
    label = f"{point}@third-party"
    assert problem in entries()[label].problem
    assert entries()["miniimagenet-5way"] is registry.BUILT_IN["miniimagenet-5way"]
    with pytest.raises(TaskInputError, match=r"plug-in '.*' of third-party"):
        open_task(label)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("third_party:absent", "does not load: AttributeError"),
        ("third_party:text", "fails: TypeError"),
        ("third_party:nothing", "must give a Task, got NoneType without configured"),
        ("third_party:leaves", r"fails: it exits \(3\)"),
    ],
)
def test_target_that_does_not_load(plug_in, target, said):
    plug_in(
        "theirs", ENTRY=_facts("theirs", target), text="no function", nothing=lambda: None, leaves=lambda: sys.exit(3)
    )
    with pytest.raises(PluginError, match=f"plug-in 'theirs' of third-party .*{said}"):
        open_task("theirs")


def test_target_of_no_package(plug_in):
    plug_in("theirs", ENTRY=_facts("theirs", "no_such_module_at_all:make"))
    with pytest.raises(TaskInputError, match="task 'theirs' cannot be loaded from 'no_such_module_at_all:make'"):
        open_task("theirs")
