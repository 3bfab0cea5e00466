"""Replies from other files into a cache, all or none: also those that an earlier version wrote."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm_backends.cache.entry import Entry, part_json
from llm_backends.cache.jsonl import entry_of_line, write_lines
from llm_backends.cache.old_layout import entries_of_old_file
from llm_backends.cache.read_only_source import holds_lines
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.cache.seal import seal_path, write_seal
from llm_backends.cache.sqlite_file import layout_of
from llm_backends.errors import BackendInputError, BackendUnavailable, CacheCorrupt

Conflicts = Literal["refuse", "keep", "replace"]

WAIT_SECONDS = 5.0
"""How long a file that another program uses is waited for."""


@dataclass(frozen=True)
class Imported:
    """How an import ended.

    Attributes:
        new: replies that were not there.
        same: replies that were there already, equal.
        differing: replies to requests that were there with another reply, kept or replaced as asked.
    """

    new: int
    same: int
    differing: int


def read_file(path: Path) -> list[Entry]:
    """Every reply of a file, SQLite or lines, of any layout; the file is only read.

    Raises:
        BackendInputError: there is no such file.
        CacheCorrupt: a line or row is not as it was written; how many, and the first of them.
    """
    if holds_lines(path):
        return _read_lines(path)
    if _layout(path) == 1:
        with _opened(path) as connection:
            return list(entries_of_old_file(path, connection))
    cache = ReplyCache(path, read_only=True)
    try:
        return [entry for entry in map(cache.entry, cache.keys()) if entry is not None]
    finally:
        cache.close()


def import_into_cache(store: ReplyCache, entries: Sequence[Entry], conflicts: Conflicts = "refuse") -> Imported:
    """Stores entries in a cache.

    Args:
        conflicts: where another reply is stored under the same key: refuse everything, keep what is stored, or
            replace it.

    Raises:
        CacheCorrupt: two of the entries, or an entry and a stored one, differ, and `conflicts` is "refuse".
    """
    given = merged(entries, conflicts)
    held = store.find({entry.key: entry.text for entry in given.values()})
    differing = [key for key, part in held.items() if part != given[key].part]
    _refuse(differing, str(store.path), conflicts)
    fresh = [entry for key, entry in given.items() if key not in held]
    store.add(fresh + [given[key] for key in differing if conflicts == "replace"], replace=conflicts == "replace")
    return Imported(len(fresh), len(held) - len(differing), len(differing))


def import_into_lines(path: Path, entries: Sequence[Entry], conflicts: Conflicts = "refuse") -> Imported:
    """Writes entries to a file of lines, together with those that are in it. Raises as `import_into_cache`."""
    held = {entry.key: entry for entry in read_file(path)} if path.exists() else {}
    given = merged(entries, conflicts)
    differing = [key for key, entry in given.items() if key in held and held[key].part != entry.part]
    _refuse(differing, str(path), conflicts)
    write_lines(path, ({**held, **given} if conflicts == "replace" else {**given, **held}).values())
    new = sum(key not in held for key in given)
    return Imported(new, len(given) - new - len(differing), len(differing))


def migrate(path: Path) -> int:
    """Puts a cache of the first layout under today's keys, in its place; returns how many replies it holds.

    The file as it was is kept beside it, with the ending `.layout-1`.

    Raises:
        BackendInputError: the file has today's layout already.
        CacheCorrupt: a row is not as it was written; nothing is changed.
        BackendUnavailable: another program has the file open, or it cannot be written.
    """
    if _layout(path) != 1:
        raise BackendInputError(f"{path} is the cache itself and of today's layout: there is nothing to import")
    kept, building = path.with_name(path.name + ".layout-1"), path.with_name(path.name + ".building")
    with _opened(path, mode="rw") as old:
        # Exclusive until the files have changed places: a program that still writes the old one would lose its replies.
        old.execute("pragma locking_mode = exclusive")
        old.execute("begin exclusive")
        entries = list(entries_of_old_file(path, old))
        for ending in ("", "-wal", "-shm"):
            building.with_name(building.name + ending).unlink(missing_ok=True)
        new = ReplyCache(building)
        new.add(entries)
        new.close()
        old.execute("commit")
        old.execute("pragma journal_mode = delete")  # all of it into the one file that is kept
        path.replace(kept)
        building.replace(path)
        for name in (seal_path(building), building.with_name(building.name + ".lock")):
            name.unlink(missing_ok=True)
    write_seal(path)
    return len(entries)


def merged(entries: Sequence[Entry], conflicts: Conflicts) -> dict[str, Entry]:
    """Entries by key: of two that differ, the first where those are to be kept, the last where they are replaced.

    Raises:
        CacheCorrupt: two differ and `conflicts` is "refuse".
    """
    found: dict[str, Entry] = {}
    differing = []
    for entry in entries:
        first = found.setdefault(entry.key, entry)
        if part_json(first.part) != part_json(entry.part):
            differing.append(entry.key)
            if conflicts == "replace":
                found[entry.key] = entry
    _refuse(differing, "another of the files", conflicts)
    return found


def _refuse(differing: Sequence[str], where: str, conflicts: Conflicts) -> None:
    if differing and conflicts == "refuse":
        raise CacheCorrupt(
            f"one request has one reply, {len(differing)} of these have another one in {where} (first: key "
            f"{differing[0]}): nothing was imported; choose with --keep or --replace"
        )


def _read_lines(path: Path) -> list[Entry]:
    entries, bad = [], []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            entries.append(entry_of_line(line, old=True))
        except ValueError as error:
            bad.append(f"line {number}: {str(error).splitlines()[0]}")
    if bad:
        raise CacheCorrupt(f"{path} has {len(bad)} lines that are not as they were written, {bad[0]}: nothing was read")
    return entries


def _layout(path: Path) -> int:
    with _opened(path) as connection:
        return layout_of(connection)


@contextlib.contextmanager
def _opened(path: Path, mode: str = "ro") -> Iterator[sqlite3.Connection]:
    try:
        address = f"{path.resolve().as_uri()}?mode={mode}"
        connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=WAIT_SECONDS)
        connection.text_factory = bytes
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise BackendUnavailable(f"{path} cannot be used ({error}): end other programs that use it") from error
    except sqlite3.DatabaseError as error:
        raise CacheCorrupt(f"{path} is no file of replies ({error}): name another") from error
    except OSError as error:
        raise BackendUnavailable(f"{path} cannot be replaced ({error}): check space and permissions") from error
