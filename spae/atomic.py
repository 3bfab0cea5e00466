"""Files that are written whole or not at all, and files of one JSON value a line. Every room may import it.

Failures of the disk are `OSError` and unsafe names `ValueError`: each room turns them into its own errors.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from spae.regular_file import check_regular, read_bytes

MOST_LINES = 8 * 2**30
"""Bytes of a file of lines, which is read into memory as a whole."""


def path_inside(folder: Path, name: str) -> Path:
    """The path of the file `name` directly in `folder`.

    Raises:
        ValueError: `name` is not a plain file name (it has a separator, is a drive, `.` or `..`), or is a link there.
    """
    if not name or name in {".", ".."} or any(mark in name for mark in ("/", "\\", ":", "\0")):
        raise ValueError(f"a file name must be plain, without folders, got {name!r}")
    path = folder / name
    if path.is_symlink():
        raise ValueError(f"{path} must be a file of its own, it is a link: remove the link")
    return path


@contextmanager
def atomic_path(target: Path, *, durable: bool = False) -> Iterator[Path]:
    """A draft beside `target` to write to, which takes the target's place when the block ends without an error.

    Args:
        target: its folder is created where it is missing.
        durable: True: bytes and name are on the disk, not only with the system, before this returns.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        if durable:
            sync_file(draft)
        draft.chmod(0o644)  # mkstemp makes it readable by its owner alone
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    if durable:
        sync_folder(target.parent)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, durably: a reader sees the old file or the new one, never half of one."""
    with atomic_path(path, durable=True) as draft:
        draft.write_text(text, encoding="utf-8", newline="")


def append_lines(path: Path, lines: Sequence[str], *, sync: bool = True) -> None:
    """Appends ASCII lines, each given without its newline, all or none.

    On return they survive the end of this process; with `sync`, also that of the machine.

    Raises:
        OSError: a full disk, no permission; what the file held is unchanged.
    """
    if not lines:
        return
    new = not path.exists()
    if not new:
        check_regular(path)  # a named pipe would wait for its reader
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            view = memoryview("".join(line + "\n" for line in lines).encode("ascii"))
            while view:
                view = view[file.write(view) :]
        except BaseException:
            file.truncate(before)  # half a line would spoil the next one
            raise
        if sync:
            os.fsync(file.fileno())
    if new and sync:
        sync_folder(path.parent)


def read_lines(path: Path) -> tuple[list[bytes], bool]:
    """The whole lines of a file without their newlines, and whether a last one cut short was left out.

    A missing file has no lines. A killed process leaves at most its last line cut short: a line counts once its
    newline is there.
    """
    if not path.exists():
        return [], False
    *lines, rest = read_bytes(path, MOST_LINES).split(b"\n")
    return lines, bool(rest)


def cut_torn_line(path: Path) -> None:
    """Shortens a file to its last whole line, so that the next append starts on a line of its own."""
    if path.exists():
        whole = read_bytes(path, MOST_LINES).rfind(b"\n") + 1
        if whole != path.stat().st_size:
            with path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())


def sync_file(path: Path) -> None:
    """Flush a file's bytes to the disk; no effect if the file is missing."""
    if path.exists():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, if the system can (Windows cannot)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
