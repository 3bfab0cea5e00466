"""Replies of language models kept in one SQLite file, which several processes may write at once.

Table `replies`, one row per reply: key; identity and prompt (sha256, to say why a request is not there); request
(readable JSON with the model's identity); reply (JSON); checksum over key and reply; created (UTC). To look inside:

    sqlite3 FILE "select json_extract(request, '$.request.prompt'), reply from replies limit 5"
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from llm_backends.errors import BackendUnavailable, CacheCorrupt
from llm_backends.protocol import Identity, Reply, Request
from llm_backends.request_key import (
    StoredReply,
    answers,
    identity_key,
    kind_of,
    parse_reply,
    parse_request,
    prompt_key,
    reply_json,
    request_key,
)

TABLE_VERSION = 1
BUSY_SECONDS = 30.0
"""How long a writer waits for another before it gives up."""

CREATE = """
create table if not exists replies (
    key text primary key, identity text not null, prompt text not null, request text not null,
    reply text not null, checksum text not null, created text not null
);
create index if not exists replies_by_prompt on replies (identity, prompt);
"""


class ReplyCache:
    """A store of replies. Opening it touches no file; the first write creates it.

    Args:
        path: the SQLite file; its folder is created with it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._owner = 0
        self._lock = threading.RLock()

    @property
    def path(self) -> Path:
        """The file, as given."""
        return self._path

    def get(self, key: str) -> Reply | None:
        """The reply under a key, or None.

        Raises:
            CacheCorrupt: the row does not match its checksum, or the file is no reply cache.
            BackendUnavailable: the file cannot be read.
        """
        entry = self.entry(key)
        return None if entry is None else entry.reply

    def entry(self, key: str) -> StoredReply | None:
        """The reply under a key with its model and request, or None. Raises as `get`."""
        rows = self._read("select request, reply, checksum from replies where key = ?", key)
        if not rows:
            return None
        request_text, reply_text, checksum = rows[0]
        try:
            if checksum != _checksum(key, reply_text):
                raise ValueError("its checksum differs")
            parts = json.loads(request_text)
            identity, request = Identity.model_validate(parts["identity"]), parse_request(parts["request"])
            reply = parse_reply(json.loads(reply_text))
            if request_key(identity, request) != key or not answers(request, reply):
                raise ValueError("its request belongs to another key")
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise CacheCorrupt(
                f"a stored reply must be as it was written, {self._path} key {key} is not ({reason}): ask again with "
                f"--live, or remove it: sqlite3 {self._path} \"delete from replies where key = '{key}'\""
            ) from error
        return StoredReply(key, identity, request, reply)

    def put(self, identity: Identity, request: Request, reply: Reply, *, replace: bool = False) -> Reply:
        """Stores one reply; see `put_many`."""
        return self.put_many(identity, [(request, reply)], replace=replace)[0]

    def put_many(
        self, identity: Identity, pairs: Sequence[tuple[Request, Reply]], *, replace: bool = False
    ) -> list[Reply]:
        """Stores replies durably, all or none, and returns those that are stored now.

        Where another process was first, its reply stays and is returned (unless `replace`), so that two runs never
        hold different replies to one request.

        Raises:
            CallFailed: a reply holds numbers that are not finite.
            CacheCorrupt, BackendUnavailable: as `get`; also where the file cannot be written.
        """
        verb = "insert or replace" if replace else "insert or ignore"
        created = datetime.now(UTC).isoformat(timespec="seconds")
        keys = [request_key(identity, request) for request, _ in pairs]
        rows = [_row(identity, key, request, reply, created) for key, (request, reply) in zip(keys, pairs, strict=True)]
        with self._session(create=True) as connection:
            assert connection is not None
            connection.execute("begin immediate")
            try:
                written = [
                    connection.execute(f"{verb} into replies values (?, ?, ?, ?, ?, ?, ?)", row).rowcount == 1
                    for row in rows
                ]
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
        result: list[Reply] = []
        for key, (_, reply), mine in zip(keys, pairs, written, strict=True):
            earlier = None if mine else self.get(key)
            result.append(reply if earlier is None else earlier)
        return result

    def keys(self) -> list[str]:
        """Every key, sorted."""
        return [row[0] for row in self._read("select key from replies order by key")]

    def knows_model(self, identity: Identity) -> bool:
        """Whether any reply of this model is stored."""
        return bool(self._read("select 1 from replies where identity = ? limit 1", identity_key(identity)))

    def knows_prompt(self, identity: Identity, request: Request) -> bool:
        """Whether this model's reply to the same prompt is stored, under whatever parameters."""
        return bool(
            self._read(
                "select 1 from replies where identity = ? and prompt = ? limit 1",
                identity_key(identity),
                prompt_key(request),
            )
        )

    def close(self) -> None:
        """Closes the file; a later call opens it again."""
        with self._lock:
            if self._connection is not None and self._owner == os.getpid():
                self._connection.close()
            self._connection = None

    def _read(self, query: str, *values: str) -> list[tuple[str, ...]]:
        with self._session(create=False) as connection:
            return [] if connection is None else connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _session(self, *, create: bool) -> Iterator[sqlite3.Connection | None]:
        """The connection, for one thread at a time; None where there is no file and none is to be created."""
        with self._lock:
            try:
                yield self._open(create=create)
            except sqlite3.OperationalError as error:
                raise BackendUnavailable(
                    f"reply cache {self._path} cannot be used ({error}): check space, permissions and other writers"
                ) from error
            except sqlite3.DatabaseError as error:
                raise CacheCorrupt(
                    f"{self._path} is not a reply cache ({error}): move it away or name another file"
                ) from error
            except OSError as error:
                raise BackendUnavailable(f"reply cache {self._path} cannot be created: {error}") from error

    def _open(self, *, create: bool) -> sqlite3.Connection | None:
        if self._connection is not None and self._owner == os.getpid():
            return self._connection
        if not create and not self._path.exists():
            return None
        # After a fork the parent's connection is dropped unclosed: closing it here would break the parent's locks.
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._owner = connection, os.getpid()
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("pragma user_version").fetchone()
        if version not in (0, TABLE_VERSION):
            raise CacheCorrupt(
                f"{self._path} is a reply cache of layout {version}, this program reads {TABLE_VERSION}: "
                "name another file"
            )
        _switch_to_wal(connection)
        connection.execute("pragma synchronous = full")
        if version == 0:
            connection.executescript(f"begin immediate; {CREATE} pragma user_version = {TABLE_VERSION}; commit;")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Several processes creating one file meet here, and SQLite does not wait in this statement: so this does."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _row(identity: Identity, key: str, request: Request, reply: Reply, created: str) -> tuple[str, ...]:
    readable = {
        "identity": identity.model_dump(mode="json"),
        "kind": kind_of(request),
        "request": request.model_dump(mode="json"),
    }
    text = reply_json(reply)
    return (
        key,
        identity_key(identity),
        prompt_key(request),
        json.dumps(readable, ensure_ascii=False),
        text,
        _checksum(key, text),
        created,
    )


def _checksum(key: str, reply: str) -> str:
    """Over both, so that a reply moved to another row is found out as well."""
    return hashlib.sha256(f"{key}\n{reply}".encode()).hexdigest()
