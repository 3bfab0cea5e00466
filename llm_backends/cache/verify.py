"""Is every stored reply as it was written? Each row and line checked against its checksum and its key.

Nothing is written: a file that is damaged stays as it is for whoever wants to look into it.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_backends.cache.jsonl import entry_of_line, key_of_line, refuse_old_lines
from llm_backends.cache.read_only_source import holds_lines
from llm_backends.cache.request_key import first_line
from llm_backends.cache.response_cache import SELECT, Row, checked_entry, is_whole_note
from llm_backends.cache.seal import check_seal
from llm_backends.cache.sqlite_file import PROVENANCE, CacheFile
from llm_backends.errors import CacheCorrupt

PROBLEMS = 100
"""Problems of the file's own structure that SQLite is asked for."""
ROW = re.compile(r"\brow (\d+)\b")


@dataclass(frozen=True)
class Bad:
    """Something that is not as it was written.

    Attributes:
        where: a key, a line number, or "file".
        prompt: the first line of the prompt, as far as it can still be read.
        reason: what is wrong.
    """

    where: str
    prompt: str
    reason: str

    def __str__(self) -> str:
        about = f" {self.prompt!r}" if self.prompt else ""
        return f"{self.where}{about}: {self.reason}"


@dataclass(frozen=True)
class Verdict:
    """What a check of one file found.

    Attributes:
        whole: every byte was checked, those that hold nothing included: lines always are, a cache when it is at rest.
    """

    path: Path
    entries: int
    bad: tuple[Bad, ...]
    whole: bool = True


def check_file(path: Path) -> Verdict:
    """Checks a file of replies, SQLite or lines.

    Raises:
        BackendInputError: there is no such file, or it is of an earlier layout.
        BackendUnavailable: it cannot be read.
    """
    if holds_lines(path):
        return _check_lines(path)
    file = CacheFile(path, read_only=True)
    try:
        with file.session() as connection:
            assert connection is not None
            found = _check_tables(path, connection)
    except CacheCorrupt as error:
        return Verdict(path, 0, (Bad("file", "", str(error)),))
    finally:
        file.close()
    sealed = check_seal(path)
    if sealed is False and not found.bad:
        reason = (
            "every reply is whole, but the file is not as it was closed: damaged where nothing is stored, or changed "
            "by another program (cache prune --bad makes it good)"
        )
        return Verdict(path, found.entries, (Bad("file", "", reason),))
    return Verdict(path, found.entries, found.bad, whole=sealed is not None)


def structure_faults(connection: sqlite3.Connection) -> list[str]:
    """What SQLite itself finds wrong with the file; empty where nothing is."""
    found = [str(row[0], "utf-8", "replace") for row in connection.execute(f"pragma integrity_check({PROBLEMS})")]
    return [] if found == ["ok"] else found


def _check_tables(path: Path, connection: sqlite3.Connection) -> Verdict:
    bad: list[Bad] = []
    entries = 0
    try:
        for row in connection.execute(f"{SELECT} not indexed"):
            entries += 1
            fault = _fault(row)
            if fault is not None:
                bad.append(Bad(_text(row[0]), _prompt(row), fault))
        bad += _check_provenance(connection)
        named = {one.where for one in bad}
        for problem in structure_faults(connection):
            one = _structure(connection, problem)
            if one.where == "file" or one.where not in named:
                bad.append(one)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        bad.append(Bad("file", "", f"cannot be read further: {error}"))
    return Verdict(path, entries, tuple(bad))


def _check_provenance(connection: sqlite3.Connection) -> Iterator[Bad]:
    """Every note of what a reply was asked for: as it was written, and beside a reply that is there."""
    query = f"select {', '.join(f'p.{name}' for name in PROVENANCE)}, r.key, r.request from provenance p "
    for *fields, stored, request in connection.execute(f"{query} not indexed left join replies r on r.key = p.key"):
        if not is_whole_note(tuple(fields)):
            yield Bad(_text(fields[0]), _prompt_of_text(request), "the checksum of a note of what it was for differs")
        elif stored is None:
            yield Bad(_text(fields[0]), "", "a note of what it was for belongs to no stored reply")


def _check_lines(path: Path) -> Verdict:
    bad: list[Bad] = []
    seen: dict[str, bytes] = {}
    entries = 0
    lines = path.read_bytes().split(b"\n")
    refuse_old_lines(path, [line for line in lines if key_of_line(line) is not None])
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        entries += 1
        key = key_of_line(line)
        where = key or f"line {number}"
        try:
            entry = entry_of_line(line)
            if seen.setdefault(entry.key, line) != line:
                raise ValueError(f"line {number} holds a second reply for it")
        except ValueError as error:
            bad.append(Bad(where, _prompt_of_text(line), str(error).splitlines()[0]))
    return Verdict(path, entries, tuple(bad))


def _fault(row: Row) -> str | None:
    try:
        checked_entry(row)
    except ValueError as error:
        return str(error).splitlines()[0]
    return None


def _structure(connection: sqlite3.Connection, problem: str) -> Bad:
    """A problem of the file, named by its row where it has one."""
    number = ROW.search(problem)
    if number is not None:
        about = "key = (select key from provenance where rowid = ?)" if "provenance" in problem else "rowid = ?"
        row = connection.execute(f"{SELECT} not indexed where {about}", (int(number.group(1)),)).fetchone()
        if row is not None:
            return Bad(_text(row[0]), _prompt(row), problem)
    return Bad("file", "", problem)


def _prompt(row: Row) -> str:
    return _prompt_of_text(row[3])


def _prompt_of_text(text: object) -> str:
    """The first line of a prompt in stored JSON; what still reads like one where that is damaged."""
    if not isinstance(text, bytes):
        return ""
    try:
        request = json.loads(text)["request"]
        prompt = request.get("prompt", request.get("context", ""))
        return first_line(prompt if isinstance(prompt, str) else json.dumps(prompt))
    except (ValueError, KeyError, TypeError, AttributeError):
        found = re.search(rb'"(?:prompt|context)": ?"(.*?)(?:\\n|")', text)
        return first_line(found.group(1).decode("utf-8", "replace")) if found else ""


def _text(column: object) -> str:
    return column.decode("utf-8", "replace") if isinstance(column, bytes) else str(column)
