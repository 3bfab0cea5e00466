"""The one way to open a file: what is no ordinary file, or too large for its kind, is refused before it is read."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from spae.regular_file import (
    MOST_CONTAINERS,
    UnfitFile,
    check_folder,
    check_regular,
    open_regular,
    parse_json,
    read_bytes,
    read_json,
    read_text,
)


def special_file(path: Path, kind: str) -> Path:
    """A name that leads to no ordinary file, at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path may have 107 bytes
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
        os.chdir(here)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path.name)
    return path


KINDS = ("a named pipe", "a socket", "a device", "a folder")
READERS: dict[str, Callable[[Path], object]] = {
    "open": open_regular,
    "bytes": lambda path: read_bytes(path, 10),
    "text": lambda path: read_text(path, 10),
    "json": read_json,
    "check": check_regular,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_ordinary_files_are_opened(tmp_path: Path, kind: str, reader: str) -> None:
    path = special_file(tmp_path / "x", kind)
    with pytest.raises(UnfitFile, match=f"it is {kind}, expected an ordinary file") as caught:
        READERS[reader](path)
    assert caught.value.strerror == str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_link_in_a_circle_is_an_os_error(tmp_path: Path, reader: str) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        READERS[reader](special_file(tmp_path / "x", "a circle"))


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_impossible_name_is_an_os_error(name: str) -> None:
    with pytest.raises(UnfitFile, match="no file can have such a name"):
        check_regular(Path(name))


def test_links_to_ordinary_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfword")
    (tmp_path / "link").symlink_to("x")
    assert read_text(tmp_path / "link", 7) == "word"


def test_size_is_capped_before_and_while_reading(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(UnfitFile, match="it has 5 bytes, at most 4 are read"):
        read_bytes(path, 4)
    if Path("/proc/self/status").exists():  # states no size
        with pytest.raises(UnfitFile, match="at most 4 are read"):
            read_bytes(Path("/proc/self/status"), 4)


def test_file_is_closed_that_turns_out_special_once_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = special_file(tmp_path / "x", "a named pipe")
    monkeypatch.setattr("spae.regular_file.check_regular", lambda *_: None)  # it was replaced in between
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    with pytest.raises(UnfitFile, match="a named pipe"):
        open_regular(path)
    assert before == (len(os.listdir("/proc/self/fd")) if before else 0)


def test_folder_is_checked_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "lost").symlink_to("nothing")
    special_file(tmp_path / ".hidden", "a named pipe")
    check_folder(tmp_path)
    path = special_file(tmp_path / "inner" / "vocab.txt", "a named pipe")
    with pytest.raises(UnfitFile) as caught:
        check_folder(tmp_path)
    assert caught.value.filename == str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"[]," * MOST_CONTAINERS + b"0]", "over 5,000,000 lists and objects"),
        (b"\xff", "can't decode"),
        (b"{", "Expecting property name"),
        (b"1" * 5000, "4300 digits"),
    ],
    ids=["deep", "bomb", "no-utf-8", "no-json", "long-number"],
)
def test_json_that_is_not_read(text: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_json(text)


def test_json_keeps_its_meaning() -> None:
    value = {"a": [1, 2.5, None, "é,[{"]}
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value
    assert parse_json(b"\xef\xbb\xbf[]") == []


ROOMS = ("spae", "llm_backends", "tasks", "results", "benchmarks")
DIRECT = re.compile(
    r"""(?<!regular_file)\.read_text\(|\.read_bytes\(|\.open\((?:"r|newline)|(?<!def)[ (]open\(|json\.load\(
    |\bImage\.open\((?!io\.|stream)""",
    re.VERBOSE,
)
PACKAGED = 'files("results'
MAY = {
    "spae/regular_file.py",
    "spae/atomic.py",
    "spae/training/recipes/catalog.py",  # the source of installed recipes
    "spae/plugins.py",  # what is installed
    "spae/threads.py",  # the system's own files
    "spae/terminal.py",  # the null device
    "results/report/write.py",  # its own package
}


def test_no_room_opens_files_on_its_own() -> None:
    """A reader that does not use `spae.regular_file` waits for ever at a named pipe."""
    root = Path(__file__).parents[2]
    found = []
    for room in ROOMS:
        for file in sorted((root / room).rglob("*.py")):
            name = file.relative_to(root).as_posix()
            if name in MAY or name.startswith("benchmarks/speed/"):
                continue
            for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
                if DIRECT.search(line) and PACKAGED not in line:
                    found.append(f"{name}:{number}: {line.strip()}")
    assert found == []
