"""Code of other packages: how it is loaded, what it must be, and who is to blame. Every room may import it.

A plug-in may raise anything, end the program, never return, or be something else than it should be. None of that may
take the built-in parts or other plug-ins with it, and the user must learn which package to mend or uninstall.
"""

from __future__ import annotations

import importlib
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import FrameType
from typing import Any

GROUPS = tuple(
    f"spae.{kind}"
    for kind in ("tasks", "tokenizers", "llm_backends", "llm_backend_options", "metrics", "figures", "recipes")
)
"""The entry point groups that other packages add to."""
OURS = frozenset({"spae", "llm_backends", "tasks", "results", "benchmarks"})
LOAD_SECONDS = 60.0
"""How long a plug-in may take to be imported or made: torch and transformers take 20 s from a cold disk."""
QUIET_SECONDS = 60.0
"""How long a command waits inside one plug-in before it says so."""


class PluginFault(Exception):
    """What a plug-in did wrong, in one line without its name."""


class _TooSlow(BaseException):
    """Raised inside a plug-in that does not return. No `Exception`, which the plug-in might catch."""


def load_target(target: str) -> Any:
    """The object at "module:attribute", imported now. For our own modules only a missing one is a fault.

    Raises:
        PluginFault: it cannot be imported.
    """
    module, _, attributes = target.partition("[")[0].strip().partition(":")  # without the extras it may name
    with _our_code() if _root(module) in OURS else plugin_code():
        found: Any = importlib.import_module(module)
        for name in attributes.split("."):
            found = getattr(found, name)
        return found


@contextmanager
def plugin_code() -> Iterator[None]:
    """Whatever a plug-in raises in the block is a `PluginFault`: also `SystemExit`, and also that it takes too long."""
    try:
        with _limited(LOAD_SECONDS):
            yield
    except PluginFault:
        raise
    except (Exception, SystemExit, _TooSlow) as error:
        if not isinstance(error, (SystemExit, _TooSlow)) and is_deliberate(error):
            raise
        raise PluginFault(described(error)) from error


@contextmanager
def made_by(target: str) -> Iterator[None]:
    """`plugin_code` for calls of what another package's `target` led to; nothing for our own."""
    if _root(target) in OURS:
        yield
    else:
        with plugin_code():
            yield


def check_members(found: object, protocol: type) -> None:
    """Checks that a plug-in has everything that a protocol names.

    Raises:
        PluginFault: something is missing.
    """
    names = {name for name in (*vars(protocol), *protocol.__annotations__) if not name.startswith("_")}
    with plugin_code():
        # First of its type: a property may have to read gigabytes.
        missing = sorted(name for name in names if not hasattr(type(found), name) and not hasattr(found, name))
    if missing:
        raise PluginFault(
            f"it must be a {protocol.__module__}.{protocol.__name__}, a {type(found).__name__} has no "
            f"{', '.join(missing)}"
        )


def is_ours(part: object) -> bool:
    """Whether a part is one of this project's own."""
    return _root(type(part).__module__) in OURS


def described(error: BaseException) -> str:
    """One line for what a plug-in raised."""
    if isinstance(error, SystemExit):
        return f"it ended the program (SystemExit: {error.code})"
    if isinstance(error, _TooSlow):
        return f"it did not return within {LOAD_SECONDS:.0f} s"
    with suppress(Exception):  # the text of a stranger's error is a stranger's code
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return type(error).__name__


def is_deliberate(error: BaseException) -> bool:
    """Whether an error is one of a room's own, whose message is for the user."""
    return any(_root(kind.__module__) in OURS and kind.__module__.endswith(".errors") for kind in type(error).__mro__)


def blame(error: BaseException) -> str:
    """The plug-in in whose code an error arose, as "plug-in NAME of PACKAGE"; "" for none, or a deliberate error."""
    if is_deliberate(error):
        return ""
    return next(filter(None, (_plugin_of(frame) for frame, _ in traceback.walk_tb(error.__traceback__))), "")


@contextmanager
def watched() -> Iterator[None]:
    """Says so on stderr, once, when the main thread has been inside one plug-in for a minute."""
    done = threading.Event()
    threading.Thread(target=_watch, args=(done, threading.get_ident()), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(done: threading.Event, thread: int) -> None:
    inside, since = "", time.monotonic()
    while not done.wait(QUIET_SECONDS / 4):
        frame = sys._current_frames().get(thread)
        found = ""
        while frame is not None and not found:
            found, frame = _plugin_of(frame), frame.f_back
        if found != inside:
            inside, since = found, time.monotonic()
        elif found and time.monotonic() - since >= QUIET_SECONDS * 0.7:
            print(f"{found} has not returned for a minute: Ctrl-C stops the command", file=sys.stderr, flush=True)
            return


def _plugin_of(frame: FrameType) -> str:
    root = _root(str(frame.f_globals.get("__name__", "")))
    return "" if root in OURS or root in sys.stdlib_module_names else _plugins().get(root, "")


@cache
def _plugins() -> dict[str, str]:
    """Plug-ins by their root module."""
    from importlib.metadata import entry_points

    found: dict[str, str] = {}
    for group in GROUPS:
        for point in entry_points(group=group):
            owner = point.dist.name if point.dist is not None else "an installed package"
            found.setdefault(_root(point.value), f"plug-in {point.name!r} of {owner}")
    return found


def _root(module: str) -> str:
    return module.partition(":")[0].partition(".")[0]


@contextmanager
def _our_code() -> Iterator[None]:
    try:
        yield
    except (ImportError, AttributeError) as error:
        raise PluginFault(str(error)) from error


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raises `_TooSlow` in the block after so many seconds, where signals can do that: in the main thread, on POSIX."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getitimer(signal.ITIMER_REAL)[0]:  # someone else's, or an outer limit
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
