"""Writing a file of a run folder whole or not at all, and never outside that folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from results.errors import RecordError


def path_inside(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`.

    Raises:
        RecordError: `name` is not a plain file name (it has a separator, is a drive, `.` or `..`), or there is a
            link of that name.
    """
    if not name or name in {".", ".."} or any(mark in name for mark in ("/", "\\", ":", "\0")):
        raise RecordError(f"a file of a run is a plain name inside its folder, got {name!r}: drop the folders from it")
    path = folder / name
    if path.is_symlink():
        raise RecordError(f"a file of a run lies inside its folder, but {path} is a link: remove the link")
    return path


def write_text_atomic(folder: Path, name: str, text: str) -> Path:
    """Writes `text` as UTF-8 to `folder/name`: a reader sees the old file or the new one, never half of one.

    Returns the path. The folder is made where it is missing.

    Raises:
        RecordError: `name` would leave the folder.
    """
    path = path_inside(folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; a report is there to be read
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return path
