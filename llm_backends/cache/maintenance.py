"""What a reply cache holds, in numbers, and taking things out of it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from llm_backends.cache.response_cache import SELECT, ReplyCache, Row, checked_entry, is_whole_note
from llm_backends.cache.sqlite_file import PROVENANCE
from llm_backends.cache.verify import structure_faults
from llm_backends.errors import BackendUnavailable


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
        empty: replies of nothing but white space.
        shared: replies whose prompt two or more tokenizers came to.
        notes: questions on record behind the replies.
        bytes: size of the file, its log included.
        oldest: when the first reply was stored, UTC; empty where there is none.
        damaged: replies that are not as they were written (`cache verify` names them).
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
class Pruned:
    """What was taken out, or would be.

    Attributes:
        entries: replies, damaged ones included.
        damaged: of these, how many were not as they were written.
        models: models of the others, with their numbers.
    """

    entries: int
    damaged: int
    models: dict[str, int]


def cache_stats(store: ReplyCache) -> CacheStats:
    """Counts what is stored; reads every reply once."""
    models: dict[tuple[str, str, str, str], int] = {}
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
                name = (who.model, who.revision, who.dtype, who.kind)
                models[name] = models.get(name, 0) + 1
                empty += entry.is_empty
                created.append(row[5].decode("ascii"))
            shared = _one(
                connection,
                "select count(*) from (select 1 from provenance group by key having count(distinct fingerprint) > 1)",
            )
            notes = _one(connection, "select count(*) from provenance")
    files = [store.path, store.path.with_name(store.path.name + "-wal")]
    return CacheStats(
        entries=sum(models.values()) + damaged,
        models=tuple(ModelCount(*name, count) for name, count in sorted(models.items())),
        empty=empty,
        shared=shared,
        notes=notes,
        bytes=sum(file.stat().st_size for file in files if file.exists()),
        oldest=min(created, default=""),
        newest=max(created, default=""),
        damaged=damaged,
    )


def prune_cache(
    store: ReplyCache,
    *,
    model: str | None = None,
    older_than: timedelta | None = None,
    bad: bool = False,
    dry_run: bool = False,
) -> Pruned:
    """Takes replies out, with the notes of what they were for.

    Args:
        model: those of this model id; together with `older_than`, those that are both.
        older_than: those stored longer ago than this.
        bad: those that are not as they were written, and damaged notes; in addition to the others.
        dry_run: only count.

    Raises:
        BackendUnavailable: the file itself is damaged so that rows cannot be taken out.
    """
    limit = None if older_than is None else (datetime.now(UTC) - older_than).isoformat(timespec="seconds")
    rows: list[int] = []
    models: dict[str, int] = {}
    damaged = 0
    with store.file.session() as connection:
        if connection is None:
            return Pruned(0, 0, {})
        for number, *columns in connection.execute(SELECT.replace("select ", "select rowid, ", 1)):
            row: Row = tuple(columns)
            try:
                name = checked_entry(row).identity.model
            except ValueError:
                if bad:
                    rows.append(number)
                    damaged += 1
                continue
            chosen = (model is None or name == model) and (limit is None or row[5].decode("ascii") < limit)
            if chosen and (model is not None or limit is not None):
                rows.append(number)
                models[name] = models.get(name, 0) + 1
    if not dry_run and (rows or bad):
        _remove(store, rows, bad=bad)
    return Pruned(len(rows), damaged, dict(sorted(models.items())))


def _remove(store: ReplyCache, rows: list[int], *, bad: bool) -> None:
    try:
        with store.file.writing() as connection:
            if bad:
                connection.execute("reindex")  # a damaged index would hide rows from what follows
            connection.executemany("delete from replies where rowid = ?", [(row,) for row in rows])
            connection.execute("delete from provenance where key not in (select key from replies)")
            if bad:
                _remove_bad_notes(connection)
        with store.file.session() as connection:
            assert connection is not None
            connection.execute("vacuum")
            faults = structure_faults(connection)
    except sqlite3.DatabaseError as error:
        faults = [str(error)]
    if faults:
        raise BackendUnavailable(
            f"{store.path} is damaged beyond its rows ({faults[0]}): save what can be read with cache export --all "
            "--skip-bad FILE, move it away, then cache import FILE"
        )


def _remove_bad_notes(connection: sqlite3.Connection) -> None:
    rows = connection.execute(f"select rowid, {', '.join(PROVENANCE)} from provenance").fetchall()
    bad = [(number,) for number, *fields in rows if not is_whole_note(tuple(fields))]
    connection.executemany("delete from provenance where rowid = ?", bad)


def _one(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
