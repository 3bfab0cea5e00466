"""Replies of language models in one SQLite file (see `sqlite_file`), which several processes may write at once.

A row is verified before use: its checksum covers every column, and its request must equal the one asked, byte for byte.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from llm_backends.cache.entry import (
    Entry,
    Part,
    Provenance,
    checksum,
    entries_of,
    parse_entry,
    parse_part,
    part_json,
    reply_of,
)
from llm_backends.cache.request_key import identity_key, key_of, key_texts, prompt_key
from llm_backends.cache.sqlite_file import CacheFile
from llm_backends.errors import BackendUnavailable, CacheCorrupt
from llm_backends.protocol import Identity, Reply, Request

AT_ONCE = 400
"""Keys in one query; SQLite takes at least 999 values."""

SELECT = "select key, identity, prompt, request, reply, created, checksum from replies"

Row = tuple[bytes, ...]
Noted = tuple[str, Provenance]
"""A key, and a question that it answered."""


class ReplyCache:
    """A store of replies. Opening it touches no file; the first write creates it.

    Args:
        path: the SQLite file; its folder is created with it.
        read_only: never written: a file that others share.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.file = CacheFile(path, read_only=read_only)
        """For code that reads all of it."""
        self._noted: set[Noted] = set()

    @property
    def path(self) -> Path:
        """The file, as given."""
        return self.file.path

    def find(self, wanted: Mapping[str, bytes]) -> dict[str, Part]:
        """Those of the keys that are stored.

        Args:
            wanted: key -> its text (`request_key.key_text`).

        Raises:
            CacheCorrupt: a row fails its checks, or the file is not a reply cache.
            BackendUnavailable: the file cannot be read.
        """
        found: dict[str, Part] = {}
        for row in self._read_keys(SELECT, list(wanted)):
            key = _text(row[0])
            try:
                found[key] = checked_part(row)
                if row[3] != wanted[key]:
                    raise ValueError("its request is another one")
            except ValueError as error:
                raise self._corrupt(key, error) from error
        return found

    def get(self, identity: Identity, request: Request) -> Reply | None:
        """The reply to a request, all of its samples, or None. Raises as `find`."""
        texts = {key_of(text): text for text in key_texts(identity, request)}
        parts = self.find(texts)
        return reply_of([parts[key] for key in texts]) if len(parts) == len(texts) else None

    def entry(self, key: str) -> Entry | None:
        """The entry under a key, or None. Raises as `find`."""
        for row in self._read(f"{SELECT} where key = ?", (key,)):
            try:
                return checked_entry(row)
            except ValueError as error:
                raise self._corrupt(key, error) from error
        return None

    def holds(self, identity: Identity) -> bool:
        """Whether any reply of a model is stored; False also where the file cannot be read."""
        try:
            query = "select 1 from replies where identity = ? limit 1"
            return any(True for _ in self._read(query, (identity_key(identity),)))
        except (BackendUnavailable, CacheCorrupt):
            return False

    def keys(self) -> list[str]:
        """Every key, sorted."""
        return [_text(row[0]) for row in self._read("select key from replies order by key")]

    def with_prompt(self, prompt: str) -> Iterator[Entry]:
        """Entries of this `prompt_key`; damaged ones are skipped."""
        yield from intact_entries(self._read(f"{SELECT} where prompt = ? order by key", (prompt,)))

    def nearest_in_length(self, length: int, most: int) -> Iterator[Entry]:
        """At most `most` entries whose requests are closest to `length` characters; damaged ones are skipped."""
        query = f"{SELECT} order by abs(length(request) - ?), key limit ?"
        yield from intact_entries(self._read(query, (length, most)))

    def put(self, identity: Identity, request: Request, reply: Reply, *, replace: bool = False) -> Reply:
        """Stores one reply; see `put_many`."""
        return self.put_many(identity, [(request, reply)], replace=replace)[0]

    def put_many(
        self,
        identity: Identity,
        pairs: Sequence[tuple[Request, Reply]],
        origins: Sequence[Sequence[Provenance]] = (),
        *,
        replace: bool = False,
    ) -> list[Reply]:
        """Stores replies durably, all or none, and returns those that are stored now.

        A reply that another process stored first stays and is returned (unless `replace`), so that two runs never
        hold different replies to one request.

        Args:
            origins: per pair, the questions it answers.

        Raises:
            CallFailed: a reply does not answer its request.
            CacheCorrupt, BackendUnavailable: as `find`; also if the file cannot be written.
        """
        groups = [entries_of(identity, request, reply) for request, reply in pairs]
        noted = [(e.key, one) for group, ones in zip(groups, origins, strict=False) for e in group for one in ones]
        with self.file.writing() as connection:
            others = _insert(connection, [entry for group in groups for entry in group], replace=replace)
            _note(connection, noted)
        self._noted.update(noted)
        if not others:
            return [reply for _, reply in pairs]
        stored = self.find(others)
        return [reply_of([stored.get(entry.key, entry.part) for entry in group]) for group in groups]

    def add(self, entries: Sequence[Entry], *, replace: bool = False) -> int:
        """Stores entries, all or none; those under a key that is stored already stay, unless `replace`.

        Returns how many were written. Raises as `put_many`.
        """
        with self.file.writing() as connection:
            return len(entries) - len(_insert(connection, entries, replace=replace))

    def note(self, noted: Sequence[Noted]) -> None:
        """Records which questions stored replies answered; keys that are not stored are ignored."""
        fresh = [one for one in dict.fromkeys(noted) if one not in self._noted]
        known = set(self._read_keys("select key, task, sample, fingerprint from provenance", [key for key, _ in fresh]))
        missing = [one for one in fresh if _identifier(one) not in known]
        stored = {_text(row[0]) for row in self._read_keys("select key from replies", [key for key, _ in missing])}
        missing = [one for one in missing if one[0] in stored]
        if missing:
            with self.file.writing() as connection:
                _note(connection, missing)
        self._noted.update(fresh)

    def close(self) -> None:
        """Closes the file; a later call opens it again."""
        self.file.close()

    def _corrupt(self, key: str, error: ValueError) -> CacheCorrupt:
        return CacheCorrupt(
            f"a stored reply must match its checksum and key, {self.path} key {key} does not "
            f"({str(error).splitlines()[0]}): ask again with --refresh-cache, or remove it with "
            "python -m benchmarks cache prune --bad"
        )

    def _read_keys(self, query: str, keys: Sequence[str]) -> Iterator[Row]:
        for begin in range(0, len(keys), AT_ONCE):
            some = keys[begin : begin + AT_ONCE]
            yield from self._read(f"{query} where key in ({','.join('?' * len(some))})", some)

    def _read(self, query: str, values: Sequence[str | int] = ()) -> list[Row]:
        with self.file.session() as connection:
            return [] if connection is None else connection.execute(query, values).fetchall()


def checked_part(row: Row) -> Part:
    """The reply in a row of `replies`, after verifying its checksum.

    Raises:
        ValueError: the row is damaged.
    """
    try:
        intact = checksum(*row[:-1]).encode("ascii") == row[-1]
    except TypeError:  # a column is no longer text
        intact = False
    if not intact:
        raise ValueError("its checksum differs")
    return parse_part(row[4])


def checked_entry(row: Row) -> Entry:
    """The entry in a row of `replies`, with every column checked against the others.

    Raises:
        ValueError: the row is damaged, or its columns do not belong together.
    """
    entry = parse_entry(row[3], checked_part(row))
    if (entry.key.encode(), identity_key(entry.identity).encode(), prompt_key(entry.request).encode()) != row[:3]:
        raise ValueError("its request belongs to another key")
    return entry


def intact_entries(rows: Sequence[Row]) -> Iterator[Entry]:
    """The entries of rows, without damaged ones."""
    for row in rows:
        try:
            yield checked_entry(row)
        except ValueError:
            continue


def _insert(connection: sqlite3.Connection, entries: Sequence[Entry], *, replace: bool) -> dict[str, bytes]:
    """Writes entries; returns those that were stored already and stay, as key -> text."""
    verb = "insert or replace" if replace else "insert or ignore"
    created = datetime.now(UTC).isoformat(timespec="seconds")
    others = {}
    for entry in entries:
        fields = (
            entry.key,
            identity_key(entry.identity),
            prompt_key(entry.request),
            entry.text.decode("ascii"),
            part_json(entry.part),
            created,
        )
        row = (*fields, checksum(*(field.encode("ascii") for field in fields)))
        if connection.execute(f"{verb} into replies values (?, ?, ?, ?, ?, ?, ?)", row).rowcount != 1:
            others[entry.key] = entry.text
    return others


def _note(connection: sqlite3.Connection, noted: Sequence[Noted]) -> None:
    rows = [(key, one.task, one.sample, one.tokenizer, one.fingerprint) for key, one in noted]
    connection.executemany("insert or ignore into provenance values (?, ?, ?, ?, ?)", rows)


def _identifier(noted: Noted) -> Row:
    key, one = noted
    return tuple(field.encode("utf-8") for field in (key, one.task, one.sample, one.fingerprint))


def _text(column: bytes) -> str:
    """A key, which may be damaged."""
    return column.decode("utf-8", "replace") if isinstance(column, bytes) else str(column)
