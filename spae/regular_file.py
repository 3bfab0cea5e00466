"""Opens files for reading: ordinary files alone, none larger than its kind can plausibly be. Every room may import it.

A name may lead to a named pipe or a device (`/dev/zero` never ends), to a link in a circle, or to JSON that takes
twenty times its size in memory. What is refused is an `OSError` with the reason as its `strerror`, before anything is
read, so that a room's message for files that cannot be read names it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

MOST_CONFIG = 16 * 2**20
"""Bytes of a configuration or a list of settings. The largest known model configurations have some 100 kB."""
MOST_INDEX = 128 * 2**20
"""Bytes of a longer list: a text tokenizer (Gemma's tokenizer.json has 33 MB), a manifest, an index of weights."""
MOST_CONTAINERS, MOST_COMMAS = 5_000_000, 25_000_000
"""Of one JSON text. COCO's largest caption file holds 0.8 million objects; an empty list of 3 bytes takes 64."""
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnfitFile(OSError):
    """A name that leads to no ordinary file, or to one too large for its kind."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(errno.EINVAL, reason, str(path))

    def __str__(self) -> str:
        return str(self.strerror)


def check_regular(path: Path, most: int | None = None) -> None:
    """For a file that another library opens by its name.

    Args:
        path: links are followed.
        most: bytes; None for files that are not read into memory as a whole.

    Raises:
        UnfitFile: no ordinary file, or a larger one.
        OSError: missing, no permission, a link in a circle.
    """
    try:
        _check(path, os.stat(path), most)
    except ValueError as error:  # a NUL or half a character in a name
        raise UnfitFile(path, "no file can have such a name") from error


def open_regular(path: Path, most: int | None = None) -> BufferedReader:
    """Opens an ordinary file for reading, without waiting for a writer. Arguments and errors as `check_regular`."""

    def opener(name: str, flags: int) -> int:
        check_regular(path, most)  # before: opening a device may set it in motion
        handle = os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
        try:
            _check(path, os.fstat(handle), most)
        except UnfitFile:
            os.close(handle)
            raise
        return handle

    return open(path, "rb", opener=opener)


def check_folder(folder: Path) -> None:
    """For a folder of a model or of data that another library opens by its name; hidden files are not looked at.

    Raises:
        UnfitFile: a file in it is no ordinary one, or its JSON is too large.
    """
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            if not name.startswith("."):
                try:
                    check_regular(Path(place, name), MOST_INDEX if name.endswith(".json") else None)
                except UnfitFile:
                    raise
                except OSError:  # a link to nothing, say: it may not be read at all
                    continue


def read_bytes(path: Path, most: int) -> bytes:
    """All bytes of a file of at most `most`. Raises as `check_regular`."""
    with open_regular(path, most) as stream:
        content = stream.read(most + 1)
    if len(content) > most:  # a file that grows, or one of /proc, which state no size
        raise UnfitFile(path, _too_large(len(content), most))
    return content


def read_text(path: Path, most: int) -> str:
    """The text of a UTF-8 file without its byte order mark. Raises as `check_regular`, and UnicodeDecodeError."""
    return read_bytes(path, most).decode("utf-8-sig")


def read_json(path: Path, most: int = MOST_CONFIG) -> Any:
    """The value of a JSON file. Raises as `check_regular`, and ValueError as `parse_json`."""
    return parse_json(read_bytes(path, most))


def read_json_text(path: Path, most: int = MOST_CONFIG) -> bytes:
    """The bytes of a JSON file, for a model that validates them. Raises as `check_regular`, also for a bomb."""
    content = read_bytes(path, most)
    try:
        check_json(content)
    except ValueError as error:
        raise UnfitFile(path, str(error)) from error
    return content


def check_json(content: bytes) -> None:
    """For JSON that another library parses. Raises ValueError: of more values than any file here holds."""
    if content.count(b"[") + content.count(b"{") > MOST_CONTAINERS or content.count(b",") > MOST_COMMAS:
        raise ValueError(f"it holds over {MOST_CONTAINERS:,} lists and objects, or over {MOST_COMMAS:,} values")


def parse_json(content: bytes, **hooks: Any) -> Any:
    """The value of a JSON text in UTF-8, with or without a byte order mark.

    Args:
        content: the text.
        hooks: of `json.loads`.

    Raises:
        ValueError: not UTF-8, no JSON, nested too deeply, or of more values than any file here holds.
    """
    check_json(content)
    try:
        return json.loads(content.decode("utf-8-sig"), **hooks)
    except RecursionError as error:
        raise ValueError(f"it is nested too deeply: {error}") from error


def _check(path: Path, status: os.stat_result, most: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UnfitFile(path, f"it is {kind}, expected an ordinary file")
    if most is not None and status.st_size > most:
        raise UnfitFile(path, _too_large(status.st_size, most))


def _too_large(size: int, most: int) -> str:
    return f"it has {size:,} bytes, at most {most:,} are read"
