"""The SQLite file of a reply cache: opening it, its layout, and its errors as one line.

Table `replies`, one row per entry: key; identity and prompt (sha256 each, to find similar entries); request (the text
that the key is the sha256 of: model, request, sample); reply (JSON); created (UTC); checksum of all of these.
Table `provenance`, one row per question that an entry answered: key, task, sample, tokenizer, fingerprint.
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

from llm_backends.errors import BackendInputError, BackendUnavailable, CacheCorrupt
from spae.regular_file import check_regular

LAYOUT = 3
UNWRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_READONLY_DIRECTORY)
"""Error codes of a file, or of its folder, that may be read but not written."""
BUSY_SECONDS = 60.0
"""How long a writer waits for another one."""

CREATE = """
create table replies (
    key text primary key not null, identity text not null, prompt text not null, request text not null,
    reply text not null, created text not null, checksum text not null
);
create index replies_by_prompt on replies (prompt);
create table provenance (
    key text not null, task text not null, sample text not null, tokenizer text not null, fingerprint text not null,
    primary key (key, task, sample, fingerprint)
);
"""

_open_files: weakref.WeakSet[CacheFile] = weakref.WeakSet()
"""Closed at exit, which merges the write-ahead log into the file."""


class CacheFile:
    """One SQLite file, opened on first use, once per process.

    Args:
        path: the file; the first write creates it with its folder.
        read_only: never written, and no file is created beside it.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._owner = 0
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def session(self, *, create: bool = False) -> Iterator[sqlite3.Connection | None]:
        """The connection, for one thread at a time; None if there is no file and `create` is False.

        Raises:
            BackendInputError: a read-only file is to be written.
            BackendUnavailable: it cannot be read, written or created.
            CacheCorrupt: it is not a reply cache of this layout.
        """
        with self._lock:
            try:
                yield self._open(create=create)
            except sqlite3.OperationalError as error:
                raise BackendUnavailable(
                    f"reply cache {self.path} cannot be used ({error}): check space, permissions and other writers"
                ) from error
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter if a message quotes damaged text
                raise CacheCorrupt(
                    f"{self.path} is not an intact reply cache ({error}): python -m benchmarks cache verify {self.path}"
                ) from error
            except OSError as error:
                raise BackendUnavailable(f"reply cache {self.path} cannot be created: {error}") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One exclusive write transaction; durable on return, rolled back on an error."""
        with self.session(create=True) as connection:
            assert connection is not None
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise

    def close(self) -> None:
        """Closes the file; a later use opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None and self._owner == os.getpid():
                connection.close()

    def _open(self, *, create: bool) -> sqlite3.Connection | None:
        if create and self.read_only:
            raise BackendInputError(f"{self.path} is read-only here: write to a cache of your own")
        if self._connection is not None and self._owner == os.getpid():
            return self._connection
        if not self.path.exists():
            if not create:
                return None
            self.path.parent.mkdir(parents=True, exist_ok=True)
        else:
            check_regular(self.path)
        try:
            connection = self._connect(self.read_only)
        except sqlite3.OperationalError as error:
            if self.read_only or error.sqlite_errorcode not in UNWRITABLE or not self.path.exists():
                raise
            connection = self._connect(True)  # a read-only disk or folder: what is there can be read
        self._connection, self._owner = connection, os.getpid()
        _open_files.add(self)
        return connection

    def _connect(self, read_only: bool) -> sqlite3.Connection:
        # After a fork the parent's connection is dropped, not closed: closing it here would break the parent's locks.
        connection = sqlite3.connect(
            _address(self.path, read_only),
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = bytes  # a damaged row need not be valid text
        try:
            self._prepare(connection, read_only)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection, read_only: bool) -> None:
        layout = _layout(connection)
        if layout not in (0, LAYOUT):
            raise CacheCorrupt(
                f"{self.path} is a reply cache of layout {layout}, this program reads {LAYOUT}: move the file away"
            )
        if read_only:
            if layout == 0:
                raise CacheCorrupt(f"{self.path} holds no replies: name a file that `cache export` or a run wrote")
            return
        _switch_to_wal(connection)
        connection.execute("pragma synchronous = full")
        if layout == 0:
            connection.execute("begin immediate")
            if _layout(connection) == 0:  # another process may have created it meanwhile
                for statement in CREATE.split(";"):
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {LAYOUT}")
            connection.execute("commit")


@atexit.register
def _close_all() -> None:
    for file in list(_open_files):
        file.close()


def _layout(connection: sqlite3.Connection) -> int:
    """The layout of a file; 0 for a new one."""
    return int(connection.execute("pragma user_version").fetchone()[0])


def _address(path: Path, read_only: bool) -> str:
    """The file as SQLite's URI.

    A file without a write-ahead log is opened as immutable, so that SQLite creates no lock or index beside it and a
    read-only folder will do; with one, the log must be read, too.
    """
    address = Path(os.path.realpath(path)).as_uri()  # unlike resolve, it takes a link in a circle
    if not read_only:
        return address
    return f"{address}?mode=ro" if path.with_name(path.name + "-wal").exists() else f"{address}?immutable=1"


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Retries while other processes create the same file: SQLite's own timeout does not cover this statement."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
