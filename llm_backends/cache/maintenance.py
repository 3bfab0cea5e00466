"""Statistics, verification, pruning and import of stored replies."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from llm_backends.cache.entry import Entry, part_json
from llm_backends.cache.jsonl import entry_of_line, holds_lines, key_of_line, numbered_lines, write_lines
from llm_backends.cache.request_key import first_line
from llm_backends.cache.response_cache import SELECT, ReplyCache, checked_entry
from llm_backends.cache.sqlite_file import CacheFile
from llm_backends.errors import BackendUnavailable, CacheCorrupt
from spae.regular_file import parse_json

Conflicts = Literal["refuse", "keep", "replace"]
"""What to do about two replies to one request: refuse all, keep what is stored, or replace it."""


@dataclass(frozen=True)
class ModelCount:
    """Stored replies of one model."""

    model: str
    revision: str
    dtype: str
    backend: str
    entries: int


@dataclass(frozen=True)
class CacheStats:
    """A cache in numbers.

    Attributes:
        empty: replies of white space only.
        shared: replies to a prompt that two or more tokenizers produced.
        notes: recorded questions that the replies answered.
        bytes: size of the file and its log.
        oldest: when the first reply was stored, UTC; empty if there is none.
        damaged: replies that fail their checks.
    """

    entries: int
    models: tuple[ModelCount, ...]
    empty: int
    shared: int
    notes: int
    bytes: int
    oldest: str
    newest: str
    damaged: int


@dataclass(frozen=True)
class Damage:
    """A damaged entry.

    Attributes:
        where: a key, a line number, or "file".
        prompt: the first line of the prompt, as far as it can still be read.
    """

    where: str
    prompt: str
    reason: str

    def __str__(self) -> str:
        about = f" {self.prompt!r}" if self.prompt else ""
        return f"{self.where}{about}: {self.reason}"


@dataclass(frozen=True)
class Verdict:
    """The check of one file."""

    path: Path
    entries: int
    bad: tuple[Damage, ...]


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be.

    Attributes:
        entries: replies, damaged ones included.
        damaged: how many of these were damaged.
        models: model -> how many of the others.
    """

    entries: int
    damaged: int
    models: dict[str, int]


@dataclass(frozen=True)
class Imported:
    """The result of an import.

    Attributes:
        new: replies that were not stored.
        same: replies that were stored already, equal.
        differing: requests that were stored with another reply, kept or replaced.
    """

    new: int
    same: int
    differing: int


def cache_stats(store: ReplyCache) -> CacheStats:
    """Counts what is stored; reads every reply once."""
    models: Counter[tuple[str, str, str, str]] = Counter()
    empty = damaged = shared = notes = 0
    created: list[str] = []
    with store.file.session() as connection:
        if connection is not None:
            for row in connection.execute(SELECT):
                try:
                    entry = checked_entry(row)
                except ValueError:
                    damaged += 1
                    continue
                who = entry.identity
                models[who.model, who.revision, who.dtype, who.kind] += 1
                empty += entry.is_empty
                created.append(row[5].decode("ascii"))
            tokenizers = "select count(distinct fingerprint) as n from provenance group by key"
            (shared,) = connection.execute(f"select count(*) from ({tokenizers}) where n > 1").fetchone()
            (notes,) = connection.execute("select count(*) from provenance").fetchone()
    files = [store.path, store.path.with_name(store.path.name + "-wal")]
    return CacheStats(
        entries=models.total() + damaged,
        models=tuple(ModelCount(*name, count) for name, count in sorted(models.items())),
        empty=empty,
        shared=shared,
        notes=notes,
        bytes=sum(file.stat().st_size for file in files if file.exists()),
        oldest=min(created, default=""),
        newest=max(created, default=""),
        damaged=damaged,
    )


def check_file(path: Path) -> Verdict:
    """Checks every reply of a file, SQLite or lines, against its checksum and key. Writes nothing.

    Raises:
        BackendInputError: there is no such file.
        BackendUnavailable: it cannot be read.
    """
    return _check_lines(path) if holds_lines(path) else _check_rows(path)


def _check_rows(path: Path) -> Verdict:
    bad: list[Damage] = []
    entries = 0
    file = CacheFile(path, read_only=True)
    try:
        with file.session() as connection:
            assert connection is not None
            for row in connection.execute(f"{SELECT} not indexed"):
                entries += 1
                try:
                    checked_entry(row)
                except ValueError as error:
                    bad.append(Damage(_text(row[0]), _prompt(row[3]), str(error).splitlines()[0]))
    except CacheCorrupt as error:
        bad.append(Damage("file", "", str(error)))
    finally:
        file.close()
    return Verdict(path, entries, tuple(bad))


def _check_lines(path: Path) -> Verdict:
    bad: list[Damage] = []
    seen: dict[str, bytes] = {}
    entries = 0
    for number, line in numbered_lines(path):
        entries += 1
        try:
            entry = entry_of_line(line)
            if seen.setdefault(entry.key, line) != line:
                raise ValueError(f"line {number} holds a second reply for it")
        except ValueError as error:
            where = key_of_line(line) or f"line {number}"
            bad.append(Damage(where, _prompt(line), str(error).splitlines()[0]))
    return Verdict(path, entries, tuple(bad))


def prune_cache(
    store: ReplyCache,
    *,
    model: str | None = None,
    older_than: timedelta | None = None,
    bad: bool = False,
    dry_run: bool = False,
) -> Pruned:
    """Removes replies.

    Args:
        model: those of this model id; with `older_than`, those that are both.
        older_than: those stored longer ago than this.
        bad: damaged ones, in addition to the others.
        dry_run: only count.

    Raises:
        BackendUnavailable: the file is so damaged that rows cannot be removed.
    """
    limit = None if older_than is None else (datetime.now(UTC) - older_than).isoformat(timespec="seconds")
    rows: list[int] = []
    models: Counter[str] = Counter()
    damaged = 0
    with store.file.session() as connection:
        if connection is None:
            return Pruned(0, 0, {})
        for number, *columns in connection.execute(SELECT.replace("select ", "select rowid, ", 1)):
            try:
                name = checked_entry(tuple(columns)).identity.model
            except ValueError:
                if bad:
                    rows.append(number)
                    damaged += 1
                continue
            chosen = (model is None or name == model) and (limit is None or columns[5].decode("ascii") < limit)
            if chosen and (model is not None or limit is not None):
                rows.append(number)
                models[name] += 1
    if not dry_run and (rows or bad):
        _remove(store, rows)
    return Pruned(len(rows), damaged, dict(sorted(models.items())))


def _remove(store: ReplyCache, rows: list[int]) -> None:
    try:
        with store.file.writing() as connection:
            connection.execute("reindex")  # a damaged index would hide rows from the next statements
            connection.executemany("delete from replies where rowid = ?", [(row,) for row in rows])
            connection.execute("delete from provenance where key not in (select key from replies)")
        with store.file.session() as opened:
            assert opened is not None
            opened.execute("vacuum")
    except (CacheCorrupt, sqlite3.DatabaseError) as error:
        raise BackendUnavailable(
            f"{store.path} is damaged beyond its rows ({error.__cause__ or error}): save what can be read with "
            "cache export --all --skip-bad FILE, move it away, then cache import FILE"
        ) from error


def read_file(path: Path) -> list[Entry]:
    """Every reply of a file, SQLite or lines.

    Raises:
        BackendInputError: there is no such file.
        CacheCorrupt: a line or row fails its checks; how many, and the first of them.
    """
    if not holds_lines(path):
        cache = ReplyCache(path, read_only=True)
        try:
            return [entry for entry in map(cache.entry, cache.keys()) if entry is not None]
        finally:
            cache.close()
    entries, bad = [], []
    for number, line in numbered_lines(path):
        try:
            entries.append(entry_of_line(line))
        except ValueError as error:
            bad.append(f"line {number}: {str(error).splitlines()[0]}")
    if bad:
        raise CacheCorrupt(f"{path} has {len(bad)} damaged lines, {bad[0]}: nothing was read")
    return entries


def import_into_cache(store: ReplyCache, entries: Sequence[Entry], conflicts: Conflicts = "refuse") -> Imported:
    """Stores entries in a cache.

    Raises:
        CacheCorrupt: two of the entries, or an entry and a stored one, differ, and `conflicts` is "refuse".
    """
    given = _by_key(entries, conflicts)
    held = store.find({entry.key: entry.text for entry in given.values()})
    differing = [key for key, part in held.items() if part != given[key].part]
    _refuse(differing, str(store.path), conflicts)
    fresh = [entry for key, entry in given.items() if key not in held]
    store.add(fresh + [given[key] for key in differing if conflicts == "replace"], replace=conflicts == "replace")
    return Imported(len(fresh), len(held) - len(differing), len(differing))


def import_into_lines(path: Path, entries: Sequence[Entry], conflicts: Conflicts = "refuse") -> Imported:
    """Writes entries to a file of lines, together with its own. Raises as `import_into_cache`."""
    held = {entry.key: entry for entry in read_file(path)} if path.exists() else {}
    given = _by_key(entries, conflicts)
    differing = [key for key, entry in given.items() if key in held and held[key].part != entry.part]
    _refuse(differing, str(path), conflicts)
    write_lines(path, ({**held, **given} if conflicts == "replace" else {**given, **held}).values())
    new = sum(key not in held for key in given)
    return Imported(new, len(given) - new - len(differing), len(differing))


def _by_key(entries: Sequence[Entry], conflicts: Conflicts) -> dict[str, Entry]:
    """Entries by key; of two that differ, the first with "keep", the last with "replace"."""
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


def _prompt(text: object) -> str:
    """The first line of the prompt in stored JSON, by its pattern if that is damaged."""
    if not isinstance(text, bytes):
        return ""
    try:
        request = parse_json(text)["request"]
        prompt = request.get("prompt", request.get("context", ""))
        return first_line(prompt if isinstance(prompt, str) else json.dumps(prompt))
    except (ValueError, KeyError, TypeError, AttributeError):
        found = re.search(rb'"(?:prompt|context)": ?"(.*?)(?:\\n|")', text)
        return first_line(found.group(1).decode("utf-8", "replace")) if found else ""


def _text(column: object) -> str:
    return column.decode("utf-8", "replace") if isinstance(column, bytes) else str(column)
