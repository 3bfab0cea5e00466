"""A hash of the whole cache file, written beside it when the last process closes it and taken away before it changes.

Checksums of rows see every bit that is ever served. A page of SQLite also has room that holds nothing yet, and a header
with counters: a bit that flips there changes no reply, but says that the disk cannot be trusted. While the file is at
rest the seal finds that too. There is no seal while a process has the file open, nor after one was killed.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from filelock import FileLock


def seal_path(path: Path) -> Path:
    """Where the seal of a cache file lies."""
    return path.with_name(path.name + ".seal")


def is_at_rest(path: Path) -> bool:
    """Whether no process has the file open for writing: SQLite's log beside it goes with the last of them."""
    return path.exists() and not path.with_name(path.name + "-wal").exists()


def break_seal(path: Path) -> None:
    """Before the first write."""
    with _lock(path):
        seal_path(path).unlink(missing_ok=True)


def write_seal(path: Path) -> None:
    """After the last close; does nothing where another process still has the file open."""
    with _lock(path):
        if is_at_rest(path):
            building = path.with_name(path.name + ".seal.part")
            building.write_text(json.dumps(_measured(path)) + "\n", encoding="ascii")
            os.replace(building, seal_path(path))


def check_seal(path: Path) -> bool | None:
    """Whether the file is, to the bit, as it was closed; None where it has no seal, or is open."""
    try:
        held = json.loads(seal_path(path).read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return False
    return bool(held == _measured(path)) if is_at_rest(path) else None


def _measured(path: Path) -> dict[str, object]:
    with path.open("rb") as stream:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_name(path.name + ".lock"))
