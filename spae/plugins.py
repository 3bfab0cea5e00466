"""Parts that other packages add by entry points: found in one scan, loaded behind a guard, and named when they fail.

| group | holds |
| --- | --- |
| `spae.tasks` | `tasks.registry.TaskEntry` values |
| `spae.tokenizers`, `spae.llm_backends`, `spae.llm_backend_options` | factories and option models |
| `spae.metrics`, `spae.figures`, `spae.recipes` | facts and functions |
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import FrameType
from typing import Any

GROUPS = (
    "spae.tasks", "spae.tokenizers", "spae.llm_backends", "spae.llm_backend_options", "spae.metrics", "spae.figures",
    "spae.recipes",
)  # fmt: skip
OURS = frozenset({"spae", "tasks", "llm_backends", "results", "benchmarks"})
LOAD_SECONDS = 60.0
"""How long loading one part may take, with the libraries that it imports."""
LIST_SECONDS = 10.0
"""The same where `ls` needs it: static facts, which import nothing heavy."""


class _TooSlow(BaseException):
    """A part that does not return. No `Exception`, which the part's own code might catch."""


class PluginError(Exception):
    """A part of another package does not load, fails, or is not what its group holds."""


@dataclass(frozen=True)
class Plugin:
    """One entry point.

    Attributes:
        target: "module:attribute".
        owner: the package that adds it.
    """

    group: str
    name: str
    target: str
    owner: str

    def __str__(self) -> str:
        return f"plug-in {self.name!r} of {self.owner} ({self.target})"


def plugins(group: str) -> tuple[Plugin, ...]:
    """The parts of one group, by name. Imports none of them."""
    return tuple(sorted((one for one in _scan() if one.group == group), key=lambda one: (one.name, one.target)))


@cache
def _scan() -> tuple[Plugin, ...]:
    """The entry points of this program's groups that installed packages have.

    `importlib.metadata` would do, but importing it takes half the time of `ls`.
    """
    found: list[Plugin] = []
    owners: set[str] = set()
    for folder in sys.path:
        try:
            names = sorted(os.listdir(folder or os.curdir))
        except OSError:  # of sys.path, what is no folder: an archive, or nothing
            continue
        for name in names:
            stem, _, ending = name.rpartition(".")
            owner = stem.partition("-")[0].replace("_", "-").lower()
            if ending not in ("dist-info", "egg-info") or owner in owners:
                continue
            try:
                with open(os.path.join(folder, name, "entry_points.txt"), encoding="utf-8") as file:
                    found += _parsed(file, owner)
            except FileNotFoundError:
                pass
            owners.add(owner)
    return tuple(found)


def _parsed(lines: Iterable[str], owner: str) -> Iterator[Plugin]:
    """The entries of an entry_points.txt that are of this program's groups."""
    group = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            group = line.strip("[]").strip()
        elif group in GROUPS and "=" in line and not line.startswith(("#", ";")):
            name, _, target = line.partition("=")
            yield Plugin(group, name.strip(), target.partition("[")[0].strip(), owner)


def load_part(target: str, seconds: float = LOAD_SECONDS) -> Any:
    """The attribute that "module:attribute" names.

    Raises:
        PluginError: it belongs to a plug-in, and its package raises, exits or takes longer than `seconds`.
        ImportError, AttributeError: it is built in, and a package that it needs is missing.
    """
    module, _, attribute = target.partition(":")
    plugin = _owner(target)
    if plugin is None:
        return getattr(import_module(module), attribute)
    with guarded(plugin, "does not load", seconds=seconds):
        return getattr(import_module(module), attribute)


def open_part(
    target: str, arguments: Callable[[Callable[..., Any]], Any], deliberate: tuple[type[Exception], ...], kind: type
) -> Any:
    """What a factory returns.

    Args:
        target: of the factory, "module:attribute".
        arguments: calls it.
        deliberate: errors that pass as they are: a wrong argument of the user's.
        kind: the protocol or class that it must be of; checked for plug-ins alone.

    Raises:
        PluginError: as `load_part`, or the factory fails or returns something else.
    """
    factory = load_part(target)
    plugin = _owner(target)
    if plugin is None:
        return arguments(factory)
    with guarded(plugin, "fails", deliberate):
        made = arguments(factory)
    check_kind(plugin, made, kind)
    return made


def load_value(target: str, kind: type) -> Any:
    """A value, such as facts. Raises as `load_part`, and PluginError: a plug-in's value is of another type."""
    value = load_part(target)
    plugin = _owner(target)
    if plugin is not None:
        check_kind(plugin, value, kind)
    return value


def check_kind(plugin: Plugin, value: object, kind: type) -> None:
    """Raises PluginError: the value is not of the class, or lacks members of the protocol."""
    if not getattr(kind, "_is_protocol", False):
        if not isinstance(value, kind):
            raise PluginError(
                f"{plugin} must give a {kind.__name__}, got {type(value).__name__}: repair {plugin.owner}"
            )
        return
    # isinstance would call properties, and a tokenizer's may load its weights.
    members = {name for name in (*inspect.get_annotations(kind), *vars(kind)) if not name.startswith("_")}
    missing = sorted(name for name in members if inspect.getattr_static(value, name, members) is members)
    if missing:
        raise PluginError(
            f"{plugin} must give a {kind.__name__}, got {type(value).__name__} without {', '.join(missing)}: "
            f"repair {plugin.owner}"
        )


@contextmanager
def guarded(
    plugin: Plugin, what: str, deliberate: tuple[type[Exception], ...] = (), seconds: float | None = None
) -> Iterator[None]:
    """Whatever a plug-in raises in the block, or that it exits, is one PluginError that names it.

    Args:
        what: "does not load".
        deliberate: errors that pass as they are.
        seconds: after which it is stopped, on the main thread of systems with alarms; None for no limit.
    """
    try:
        with _limited(seconds):
            yield
    except BaseException as error:  # a stranger's code may raise anything
        if isinstance(error, (PluginError, KeyboardInterrupt, *deliberate)):
            raise
        raise PluginError(f"{plugin} {what}: {_said(error)}; repair or uninstall {plugin.owner}") from error


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    if seconds is None or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooSlow(f"it takes longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def failed_in(error: BaseException) -> str | None:
    """One line that names the plug-in in whose code an error arose; None if it did not arise in one."""
    trace, found = error.__traceback__, None
    while trace is not None:
        plugin = _owner(str(trace.tb_frame.f_globals.get("__name__", "")))
        if plugin is not None:
            place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
            found = f"{plugin} failed: {_said(error)} (at {place}); repair or uninstall {plugin.owner}"
        trace = trace.tb_next
    return found


def _owner(target: str) -> Plugin | None:
    """The plug-in in whose top-level package a module or "module:attribute" is; None for a built-in part.

    Of several in one package, the one of that very target.
    """
    package = _package(target)
    if package in OURS:
        return None
    found = [one for group in GROUPS for one in plugins(group) if _package(one.target) == package]
    return next((one for one in found if one.target == target), found[0] if found else None)


def _package(target: str) -> str:
    return target.partition(":")[0].partition(".")[0]


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it exits ({error.code!r})"
    if isinstance(error, _TooSlow):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
