"""Where the images or clips of a training set lie: rows that can be got at by number.

N rows, K classes.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

import numpy as np

from spae.data.datasets.corrupt_files import CorruptFiles

HELD_SHARE = 0.01
HELD_MOST = 5000


@runtime_checkable
class SampleSource(Protocol):
    """Labelled files, in a folder, in archives or in tables; it finds them and leaves decoding to a loader.

    Attributes:
        name: as the user named it.
        title: one line: what it is, how much of it.
        fingerprint: sha256 over ids and classes.
        classes: label text of the K classes.
        unnamed: how many of them are called by an id or a number, because no file of names was found.
        labels: [N] int32, places in `classes`.
        train: rows that training sees, ascending.
        held_out: rows that it never sees, ascending.
        corrupt_files: files found bad while they were listed; readers add to it.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def unnamed(self) -> int: ...

    @property
    def labels(self) -> np.ndarray: ...

    @property
    def train(self) -> np.ndarray: ...

    @property
    def held_out(self) -> np.ndarray: ...

    @property
    def corrupt_files(self) -> CorruptFiles: ...

    def row_name(self, row: int) -> str:
        """How messages call the row."""
        ...

    def content(self, row: int) -> Path | BinaryIO:
        """The row's file, or its bytes. Raises CorruptImage where they cannot be had."""
        ...


@dataclass(frozen=True)
class SampleFacts:
    """The attributes of a `SampleSource` as fields, for the kinds of it to begin with."""

    name: str
    title: str
    fingerprint: str
    classes: tuple[str, ...]
    unnamed: int
    labels: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    corrupt_files: CorruptFiles


class NameTable(Sequence[str]):
    """Many short names in two arrays: a list of strings would take ten times the memory (13 million images)."""

    def __init__(self, names: Iterable[str]) -> None:
        blob, ends = bytearray(), array("q", [0])
        for name in names:
            blob += name.encode("utf-8", "surrogateescape")
            ends.append(len(blob))
        self.blob = bytes(blob)
        self.ends = np.frombuffer(ends, dtype=np.int64)

    @classmethod
    def of_arrays(cls, blob: bytes, ends: np.ndarray) -> NameTable:
        """A table from the two arrays of another."""
        table = cls(())
        table.blob, table.ends = blob, ends
        return table

    @classmethod
    def joined(cls, tables: Sequence[NameTable]) -> NameTable:
        """The names of all tables, one after another."""
        starts = np.cumsum([0, *(len(table.blob) for table in tables)])
        ends = [table.ends[1:] + start for table, start in zip(tables, starts[:-1], strict=True)]
        blob = b"".join(table.blob for table in tables)
        return cls.of_arrays(blob, np.concatenate([np.zeros(1, np.int64), *ends]))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, place: int) -> str:  # type: ignore[override]
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self.blob[self.ends[place] : self.ends[place + 1]].decode("utf-8", "surrogateescape")


def split_off(names: Sequence[str], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training rows and held-out rows of a set that brings no split of its own.

    A hundredth is held out, at least one row and at most HELD_MOST: those whose names' CRC-32 is lowest. A checksum of
    the name, so that the split depends neither on the run's seed nor on the order of listing.

    Args:
        names: of all rows.
        rows: those to split, ascending.
    """
    if len(rows) < 2:
        return rows, rows[:0]
    held = min(HELD_MOST, max(1, round(HELD_SHARE * len(rows))))
    keys = np.array(
        [zlib.crc32(names[row].encode("utf-8", "surrogateescape")) for row in rows.tolist()], dtype=np.int64
    )
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[np.argsort(keys, kind="stable")[:held]] = True
    return rows[~chosen], rows[chosen]


def shown_name(name: str) -> str:
    """The name as one printable line."""
    return name if name.isprintable() else ascii(name)[1:-1]
