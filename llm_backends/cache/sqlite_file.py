"""The SQLite file behind a reply cache: opening it, its layout, and errors in one line.

Table `replies`, one row an entry: key; identity and prompt (sha256 each, to find entries that are alike); request (the
text that the key is the sha256 of: model, request, sample); reply (JSON); created (UTC); checksum over all of these.
Table `provenance`, one row a question that the entry answered: key, task, sample, tokenizer, fingerprint, checksum.
To look inside:

    sqlite3 FILE "select json_extract(request, '$.request.prompt'), reply from replies limit 5"
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from llm_backends.cache.seal import break_seal, write_seal
from llm_backends.errors import BackendInputError, BackendUnavailable, CacheCorrupt

LAYOUT = 2
BUSY_SECONDS = 60.0
"""How long a writer waits for another before it gives up."""

REPLIES = ("key", "identity", "prompt", "request", "reply", "created", "checksum")
PROVENANCE = ("key", "task", "sample", "tokenizer", "fingerprint", "checksum")

CREATE = f"""
create table replies (
    key text primary key not null, {", ".join(f"{name} text not null" for name in REPLIES[1:])}
);
create index replies_by_prompt on replies (prompt);
create table provenance (
    {", ".join(f"{name} text not null" for name in PROVENANCE)}, primary key (key, task, sample, fingerprint)
);
"""


_in_use: weakref.WeakSet[CacheFile] = weakref.WeakSet()
"""Files to be closed, and so sealed, at the end of the program."""


class CacheFile:
    """One SQLite file, opened at the first use and once in each process.

    Args:
        path: the file; the first write creates it with its folder.
        read_only: never written, nor anything beside it: a layer that others share.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._owner = 0
        self._lock = threading.RLock()
        self._seal_broken = False

    @contextlib.contextmanager
    def session(self, *, create: bool = False) -> Iterator[sqlite3.Connection | None]:
        """The connection, for one thread at a time; None where there is no file and none is to be created.

        Raises:
            BackendInputError: the file has an older layout, or is to be written and read only.
            BackendUnavailable: it cannot be read, written or created.
            CacheCorrupt: it is no reply cache.
        """
        with self._lock:
            try:
                yield self._open(create=create)
            except sqlite3.OperationalError as error:
                raise BackendUnavailable(
                    f"reply cache {self.path} cannot be used ({error}): check space, permissions and other writers"
                ) from error
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter where a message quotes damage
                raise CacheCorrupt(
                    f"{self.path} is not a whole reply cache ({error}): python -m benchmarks cache verify {self.path}"
                ) from error
            except OSError as error:
                raise BackendUnavailable(f"reply cache {self.path} cannot be created: {error}") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone among all writers; all of it is on disk on return, or none."""
        with self.session(create=True) as connection:
            assert connection is not None
            if not self._seal_broken:
                break_seal(self.path)
                self._seal_broken = True
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise

    def close(self) -> None:
        """Closes the file, sealed where this was the last to have it open; a later use opens it again."""
        with self._lock:
            mine, connection = self._owner == os.getpid(), self._connection
            self._connection = None
            if mine and connection is not None:
                connection.close()
                if self._seal_broken:
                    with contextlib.suppress(OSError):  # a file without a seal is as good, only less well checked
                        write_seal(self.path)
                self._seal_broken = False

    def _open(self, *, create: bool) -> sqlite3.Connection | None:
        if create and self.read_only:
            raise BackendInputError(f"{self.path} is shared and only read: write to a cache of your own")
        if self._connection is not None and self._owner == os.getpid():
            return self._connection
        if not self.path.exists():
            if not create:
                return None
            self.path.parent.mkdir(parents=True, exist_ok=True)
        # After a fork the parent's connection is dropped unclosed: closing it here would break the parent's locks.
        connection = sqlite3.connect(
            _address(self.path, self.read_only),
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = bytes  # what a damaged row holds need be no text
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._owner, self._seal_broken = connection, os.getpid(), False
        _in_use.add(self)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = layout_of(connection)
        if version == 1:
            raise BackendInputError(
                f"{self.path} was written by an earlier version (layout 1, now {LAYOUT}); no reply is lost: "
                f"python -m benchmarks cache import {self.path}"
            )
        if version not in (0, LAYOUT):
            raise CacheCorrupt(
                f"{self.path} is a reply cache of layout {version}, this program reads {LAYOUT}: name another file"
            )
        if self.read_only:
            if version == 0:
                raise CacheCorrupt(f"{self.path} holds no replies: name a file that `cache export` or a run wrote")
            return
        _switch_to_wal(connection)
        connection.execute("pragma synchronous = full")
        connection.execute("pragma secure_delete = on")
        if version == 0:
            connection.execute("begin immediate")
            if layout_of(connection) == 0:  # another process may have been first
                for statement in CREATE.split(";"):
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {LAYOUT}")
            connection.execute("commit")


@atexit.register
def _close_all() -> None:
    for file in list(_in_use):
        file.close()


def layout_of(connection: sqlite3.Connection) -> int:
    """The layout that a file says it has; 0 for a new one."""
    return int(connection.execute("pragma user_version").fetchone()[0])


def _address(path: Path, read_only: bool) -> str:
    """The file as SQLite's URI.

    A file that nobody has open is read as immutable: SQLite then puts no lock and no index beside it, so that a folder
    one may only read will do. Where a writer's log lies beside it, that must be read too.
    """
    address = path.resolve().as_uri()
    if not read_only:
        return address
    return f"{address}?mode=ro" if path.with_name(path.name + "-wal").exists() else f"{address}?immutable=1"


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
