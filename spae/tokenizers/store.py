"""Tokens and reconstructions kept between runs: one SQLite file in the cache folder, shared by processes.

| kind | key beside the tokenizer's fingerprint | value |
| --- | --- | --- |
| tokens | sha256 of the image's pixels and shape, depth encoded | `ImageTokens` as JSON |
| pixels | sha256 of the tokens and layers decoded, or of the image prepared | uint8 array as .npy |

Values are compressed and carry a checksum that is verified on reading; a damaged one is dropped, and its image encoded
again. The file is bounded: past the limit, the entries used least recently go first. If it cannot be opened or written
(a read-only or full disk), entries live in memory until the process ends. What it lacks is looked up in read-only files
of tokens (`spae.tokenizers.token_file`), if it was given some.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from spae.canonical import canonical_json, sha256_json
from spae.errors import InputError
from spae.tokenizers.token_file import TokenFile
from spae.tokens import ImageTokens

LIMIT_BYTES = 2_000_000_000
FILE = "tokens.sqlite"
# Entries are stamped when they are used, but not more often: reading would otherwise always write.
STAMP_SECONDS = 3600
# Keys in one statement; SQLite takes 999 variables at least.
CHUNK = 500
# Part of the limit that pruning leaves filled, so that it does not run at every write.
FILLED = 0.9
LARGEST_VALUE = 256_000_000
"""Bytes of one value uncompressed: what claims more is damaged."""

_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    kind TEXT NOT NULL, tokenizer TEXT NOT NULL, item TEXT NOT NULL, depth INTEGER NOT NULL,
    value BLOB NOT NULL, checksum BLOB NOT NULL, used REAL NOT NULL,
    PRIMARY KEY (kind, tokenizer, item, depth)
);
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used);
"""
_DAMAGED_FILE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_log = logging.getLogger(__name__)
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class StoreStats:
    """What a store holds, and what this process asked of it.

    Attributes:
        entries: in the file.
        bytes: that they take up there.
        hits, misses: values asked for that were there, and those that were not.
        damaged: values dropped because their checksum or content was wrong, and damaged files.
        in_memory: whether the file could not be used.
    """

    entries: int
    bytes: int
    hits: int
    misses: int
    damaged: int
    in_memory: bool


class _Row(NamedTuple):
    """One entry as the file holds it."""

    item: str
    depth: int
    value: bytes
    checksum: bytes
    used: float


def image_sha256(pixels: np.ndarray) -> str:
    """Hex SHA-256 over the shape, type and bytes of an image."""
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()


def decoding_sha256(tokens: ImageTokens, layers: Sequence[int]) -> str:
    """Hex SHA-256 over what decides a reconstruction beside the tokenizer: tokens and the layers used."""
    return sha256_json([_plain(tokens.first_layers(max(layers))), list(layers)])


class TokenStore:
    """Tokens and reconstructions by tokenizer and image. Safe for threads and processes.

    Args:
        folder: its folder; None keeps everything in memory.
        limit_bytes: bound on the file's size.
        files: read-only ones, looked up after the store's own.

    Raises:
        InputError: the limit is not positive.
    """

    def __init__(self, folder: Path | None, limit_bytes: int = LIMIT_BYTES, files: Sequence[TokenFile] = ()) -> None:
        if limit_bytes <= 0:
            raise InputError(f"a token store's limit must be positive, got {limit_bytes} bytes")
        self._file = None if folder is None else folder / FILE
        self._limit = limit_bytes
        self._files = tuple(files)
        self._lock = threading.RLock()
        self._hits = self._misses = self._damaged = 0
        self._logged_damage = False
        self._db = self._open()

    def get_many(self, tokenizer: str, images: Sequence[str], depth: int) -> dict[str, ImageTokens]:
        """The stored tokens of layers 1 to `depth`, by image; an image that was encoded deeper has them, too.

        Args:
            tokenizer: fingerprint.
            images: `image_sha256` of each.
        """
        found = self._read("tokens", tokenizer, images, depth, _tokens_of)
        tokens = {image: one.first_layers(depth) for image, one in found.items()}
        for file in self._files:
            if file.tokenizer == tokenizer and len(tokens) < len(set(images)):
                tokens |= file.get_many([image for image in images if image not in tokens], depth)
        with self._lock:
            self._hits += len(tokens) - len(found)
            self._misses -= len(tokens) - len(found)
        return tokens

    def put_many(self, tokenizer: str, tokens: Mapping[str, ImageTokens]) -> None:
        """Stores tokens by `image_sha256`. Args: tokenizer, its fingerprint."""
        rows = [(image, len(one.ids), canonical_json(_plain(one)).encode("ascii")) for image, one in tokens.items()]
        self._write("tokens", tokenizer, rows)

    def get_pixels(self, tokenizer: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored reconstructions, uint8, by `decoding_sha256`."""
        return self._read("pixels", tokenizer, keys, 0, _pixels_of)

    def put_pixels(self, tokenizer: str, pixels: Mapping[str, np.ndarray]) -> None:
        """Stores reconstructions, uint8, by `decoding_sha256`."""
        self._write("pixels", tokenizer, [(key, 0, _npy(one)) for key, one in pixels.items()])

    def prune(self, limit_bytes: int | None = None) -> int:
        """Delete the entries used least recently until the file is within the limit; returns how many were deleted.

        Args:
            limit_bytes: the store's own by default; 0 empties it.
        """
        limit = self._limit if limit_bytes is None else limit_bytes
        with self._lock:
            return self._guarded(lambda: self._prune(limit), 0)

    def stats(self) -> StoreStats:
        """What it holds now, and what this process asked of it."""
        with self._lock:
            count = self._guarded(lambda: int(self._db.execute("SELECT count(*) FROM entries").fetchone()[0]), 0)
            size = self._guarded(self._used_bytes, 0)
            return StoreStats(count, size, self._hits, self._misses, self._damaged, self._file is None)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    def _open(self) -> sqlite3.Connection:
        if self._file is not None:
            try:
                return _connect(self._file)
            except (sqlite3.Error, OSError) as error:
                return self._reopen(error)
        return _connect(None)

    def _reopen(self, error: sqlite3.Error | OSError) -> sqlite3.Connection:
        """A new file in place of a damaged one; memory where the file cannot be used."""
        if self._file is not None and getattr(error, "sqlite_errorcode", None) in _DAMAGED_FILE:
            self._damaged += 1
            _log.warning("token store %s is damaged (%s): a new one takes its place", self._file, error)
            try:
                for ending in ("", "-wal", "-shm"):
                    self._file.with_name(self._file.name + ending).unlink(missing_ok=True)
                return _connect(self._file)
            except (sqlite3.Error, OSError) as again:
                error = again
        _log.warning("token store %s cannot be used (%s): tokens are kept in memory for this run", self._file, error)
        self._file = None
        return _connect(None)

    def _guarded(self, action: Callable[[], _Value], otherwise: _Value) -> _Value:
        """The action's result; where the file fails, `otherwise`, on a store that works from here on."""
        try:
            return action()
        except sqlite3.Error as error:
            self._db.close()
            self._db = self._reopen(error)
            return otherwise

    def _read(
        self, kind: str, tokenizer: str, items: Sequence[str], depth: int, parse: Callable[[bytes], _Value]
    ) -> dict[str, _Value]:
        wanted = list(dict.fromkeys(items))
        found: dict[str, _Value] = {}
        nothing: list[_Row] = []
        with self._lock:
            for part in _chunks(wanted):
                for row in self._guarded(partial(self._select, kind, tokenizer, part, depth), nothing):
                    try:
                        found[row.item] = parse(_unpacked(kind, tokenizer, row))
                    except (ValueError, TypeError, KeyError, EOFError, zlib.error, InputError) as error:
                        self._drop(kind, tokenizer, row, error)
                        continue
                    if time.time() - row.used > STAMP_SECONDS:
                        self._guarded(partial(self._stamp, kind, tokenizer, row), None)
            self._hits += len(found)
            self._misses += len(wanted) - len(found)
        return found

    def _select(self, kind: str, tokenizer: str, items: Sequence[str], depth: int) -> list[_Row]:
        marks = ",".join("?" * len(items))
        # Of several depths that serve, the last row is the least deep.
        rows = self._db.execute(
            "SELECT item, depth, value, checksum, used FROM entries WHERE kind = ? AND tokenizer = ? AND depth >= ? "
            f"AND item IN ({marks}) ORDER BY depth DESC",
            (kind, tokenizer, depth, *items),
        )
        return [_Row(*row) for row in rows]

    def _stamp(self, kind: str, tokenizer: str, row: _Row) -> None:
        with self._db:
            self._db.execute(
                "UPDATE entries SET used = ? WHERE kind = ? AND tokenizer = ? AND item = ? AND depth = ?",
                (time.time(), kind, tokenizer, row.item, row.depth),
            )

    def _drop(self, kind: str, tokenizer: str, row: _Row, error: Exception) -> None:
        self._damaged += 1
        if not self._logged_damage:
            self._logged_damage = True
            _log.warning(
                "token store: dropped a damaged entry (%s); it is computed again", " ".join(str(error).split())
            )

        def delete() -> None:
            with self._db:
                self._db.execute(
                    "DELETE FROM entries WHERE kind = ? AND tokenizer = ? AND item = ? AND depth = ?",
                    (kind, tokenizer, row.item, row.depth),
                )

        self._guarded(delete, None)

    def _write(self, kind: str, tokenizer: str, rows: Sequence[tuple[str, int, bytes]]) -> None:
        if not rows:
            return
        now = time.time()
        packed = []
        for item, depth, plain in rows:
            value = zlib.compress(plain, 6)
            packed.append((kind, tokenizer, item, depth, value, _checksum(kind, tokenizer, item, value), now))

        def insert() -> None:
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", packed)
            if self._used_bytes() > self._limit:
                self._prune(self._limit)

        with self._lock:
            self._guarded(insert, None)

    def _used_bytes(self) -> int:
        pages, free, size = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _prune(self, limit: int) -> int:
        deleted = 0
        while (size := self._used_bytes()) > limit:
            count = int(self._db.execute("SELECT count(*) FROM entries").fetchone()[0])
            if not count:
                break
            oldest = max(1, min(count, round(count * (1 - FILLED * limit / size))))
            with self._db:
                self._db.execute(
                    "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY used, rowid LIMIT ?)",
                    (oldest,),
                )
            deleted += oldest
        if deleted:
            self._db.execute("PRAGMA incremental_vacuum").fetchall()
        return deleted


def _connect(file: Path | None) -> sqlite3.Connection:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(file or ":memory:", timeout=60, check_same_thread=False)
    try:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(_TABLE)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def _checksum(kind: str, tokenizer: str, item: str, value: bytes) -> bytes:
    """Over value and key: a value that stands under another key is damaged, too."""
    return hashlib.sha256(f"{kind}/{tokenizer}/{item}/".encode() + value).digest()


def _unpacked(kind: str, tokenizer: str, row: _Row) -> bytes:
    if _checksum(kind, tokenizer, row.item, row.value) != row.checksum:
        raise ValueError(f"checksum of {kind} {row.item[:12]} is wrong")
    plain = zlib.decompressobj()
    data = plain.decompress(row.value, LARGEST_VALUE)
    if not plain.eof:
        raise ValueError(f"{kind} {row.item[:12]} is longer than {LARGEST_VALUE:,} bytes")
    return data


def _plain(tokens: ImageTokens) -> dict[str, object]:
    return {"ids": tokens.ids, "words": tokens.words, "grids": tokens.grids, "join": tokens.join}


def _tokens_of(data: bytes) -> ImageTokens:
    plain = json.loads(data)
    return ImageTokens(
        tuple(map(tuple, plain["ids"])),
        tuple(map(tuple, plain["words"])),
        tuple((rows, columns) for rows, columns in plain["grids"]),
        plain["join"],
    )


def _npy(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, pixels, allow_pickle=False)
    return stream.getvalue()


def _pixels_of(data: bytes) -> np.ndarray:
    pixels: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    return pixels
