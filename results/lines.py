"""Files of one JSON value a line: appended durably, read whole, mended after a crash.

A process that is killed leaves at most its last line cut short: a line counts once its newline is there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from results.atomic import path_inside
from results.errors import RecordError
from results.faults import first_fault

Line = TypeVar("Line", bound=BaseModel)


def append_lines(path: Path, lines: Sequence[str], *, sync: bool = True) -> None:
    """Adds lines, all or none, each given without its newline and in ASCII.

    On return they survive the end of this process; with `sync`, also that of the machine.

    Raises:
        RecordError: the file cannot be written (a full disk, no permission); what it held is unchanged.
    """
    if not lines:
        return
    data = "".join(line + "\n" for line in lines).encode("ascii")
    try:
        new = not path.exists()
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
            except BaseException:
                file.truncate(before)  # half a line would spoil the one that is appended next
                raise
            if sync:
                os.fsync(file.fileno())
        if new and sync:
            sync_folder(path.parent)
    except OSError as error:
        raise RecordError(
            f"{path} must take a run's lines, it cannot be written ({error.strerror or error}): make room there, "
            "then give the same command again"
        ) from error


def sync_file(path: Path) -> None:
    """Brings what was appended to the disk itself; nothing where there is no file."""
    if path.exists():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Brings the folder's list of names to the disk itself, where the system can (Windows cannot)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load_lines(path: Path, model: type[Line]) -> tuple[list[Line], bool]:
    """Every whole line of `path` as a `model`, and whether a last line cut short was left out.

    Raises:
        RecordError: a whole line is not a `model` (named by its number), or the path is a link.
    """
    if not path_inside(path.parent, path.name).exists():
        return [], False
    *lines, rest = path.read_bytes().split(b"\n")
    loaded = []
    for number, line in enumerate(lines, start=1):
        try:
            loaded.append(model.model_validate_json(line))
        except ValidationError as error:
            raise RecordError(
                f"{path} line {number} is not a {model.__name__} ({first_fault(error, 'line')}): pass another --out"
            ) from error
    return loaded, bool(rest)


def cut_torn_line(path: Path) -> None:
    """Shortens the file to its last whole line, so that the next append starts on a line of its own."""
    if path.exists():
        whole = path.read_bytes().rfind(b"\n") + 1
        if whole != path.stat().st_size:
            with path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
