"""Files of a run's folder as validated values, with the errors of the disk as `RecordError`."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

import spae.atomic
from results.errors import RecordError, first_fault
from spae.regular_file import MOST_INDEX, check_json, read_json_text

Line = TypeVar("Line", bound=BaseModel)


def path_inside(folder: Path, name: str) -> Path:
    """The path of a run's file. Raises RecordError: `name` is not a plain file name, or is a link."""
    try:
        return spae.atomic.path_inside(folder, name)
    except ValueError as error:
        raise RecordError(f"a run's file must lie in its folder: {error}") from error


def read_file(folder: Path, name: str, most: int = MOST_INDEX) -> bytes:
    """A JSON file of a run. Raises RecordError: as `path_inside`, or it cannot be read or is too large to be one."""
    path = path_inside(folder, name)
    try:
        return read_json_text(path, most)
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror or error}): move it away") from error


def load_lines(path: Path, model: type[Line]) -> tuple[list[Line], bool]:
    """Every whole line of a file as a `model`, and whether a last line cut short was left out.

    Raises:
        RecordError: a whole line is not a `model` (named by its number), or the path is a link.
    """
    try:
        lines, torn = spae.atomic.read_lines(path_inside(path.parent, path.name))
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror or error}): pass another --out") from error
    loaded = []
    for number, line in enumerate(lines, start=1):
        try:
            check_json(line)
            loaded.append(model.model_validate_json(line))
        except ValueError as error:
            reason = first_fault(error, "line") if isinstance(error, ValidationError) else error
            raise RecordError(
                f"{path} line {number} is not a {model.__name__} ({reason}): pass another --out"
            ) from error
    return loaded, torn


def append_lines(path: Path, lines: Sequence[str], *, sync: bool = True) -> None:
    """As `spae.atomic.append_lines`. Raises RecordError: the file cannot be written; what it held is unchanged."""
    try:
        spae.atomic.append_lines(path, lines, sync=sync)
    except OSError as error:
        raise _unwritten(path, error) from error


def write_bytes(folder: Path, name: str, data: bytes) -> Path:
    """As `write_text`."""
    path = path_inside(folder, name)
    try:
        with spae.atomic.atomic_path(path) as draft:
            draft.write_bytes(data)
    except OSError as error:
        raise _unwritten(path, error) from error
    return path


def write_text(folder: Path, name: str, text: str) -> Path:
    """Writes one file of a run, whole or not at all; returns its path.

    Raises:
        RecordError: `name` would leave the folder, or the disk does not take it.
    """
    path = path_inside(folder, name)
    try:
        spae.atomic.write_text(path, text)
    except OSError as error:
        raise _unwritten(path, error) from error
    return path


def _unwritten(path: Path, error: OSError) -> RecordError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    fix = "make room there" if full else "check its folder and permissions"
    reason = error.strerror or str(error)
    return RecordError(f"{path} cannot be written ({reason}): {fix}, then give the same command again")
