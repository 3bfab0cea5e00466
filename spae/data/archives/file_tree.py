"""The files of a published set by name, from a folder or straight from its .tar or .tar.gz, which is not unpacked.

A tree is indexed once: each image's header is checked and each file's sha256 is taken. The index is kept in the cache
folder, so that the next opening reads nothing but it; a .tar.gz also keeps the points from which its stream can be
entered, so that an image in its middle costs one stretch of it and not all that stands before.

Names are data: none leaves the tree, links in an archive are refused, and nothing is written under a name of the data.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from spae.atomic import atomic_path
from spae.cache_folder import cache_folder, time_only
from spae.data.datasets.samples import shown_name
from spae.data.image_file import SUFFIXES, check_header, read_image
from spae.data.issues import DataIssue
from spae.errors import CorruptImage, DataError
from spae.regular_file import read_json

FORMAT = 1
TEXTS = frozenset({".json", ".txt", ".csv"})
MOST_IMAGE = 64 * 2**20
MOST_TEXT = 128 * 2**20
MOST_INDEX = 2**30


@dataclass(frozen=True)
class FileEntry:
    """One file of a tree.

    Attributes:
        size: bytes.
        sha256: of them.
        problem: why an image cannot be used, by its header; "" for a sound one, and for text.
        place: in an archive, where its bytes begin in the unpacked stream; in a folder, its time of change in ns.
    """

    size: int
    sha256: str
    problem: str
    place: int


class FileTree(ABC):
    """Images and texts (.json, .txt, .csv) by their paths; hidden files and other kinds are ignored.

    Attributes:
        path: the folder or the archive.
        entries: by path inside the tree, "/" between parts; complete once `index` has ended.
        issues: names that may not be read: links that lead out, `../`, no ordinary files. The same.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, FileEntry] = {}
        self.issues: list[DataIssue] = []

    @abstractmethod
    def index(self, keep: bool = True) -> Iterator[str]:
        """Reads every file once and names each when it is read.

        Args:
            keep: whether the index may be kept in the cache folder, and one kept there be used.

        Raises:
            DataError: it is no archive, is cut short, or unpacks to far more than its size.
        """

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of a file of `entries`. Raises DataError if it is not there, or changed since."""

    def image(self, name: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown name."""
        return read_image(io.BytesIO(self.read(name)), f"{shown_name(name)} of {self.path}")

    def entry(self, name: str) -> FileEntry:
        """Raises DataError for a name that is not in the tree."""
        if name not in self.entries:
            raise DataError(f"{self.path} has no file {shown_name(name)}: names are paths inside it")
        return self.entries[name]

    def _kept(self, *marks: Any) -> Path:
        key = json.dumps([FORMAT, str(self.path.resolve()), *marks])
        return cache_folder() / "archives" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _load(self, kept: Path) -> dict[str, FileEntry]:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            return {name: FileEntry(*parts) for name, parts in read_json(kept, MOST_INDEX).items()}
        return {}

    def _save(self, kept: Path) -> None:
        with time_only(), atomic_path(kept) as draft:
            draft.write_text(json.dumps({name: astuple(entry) for name, entry in self.entries.items()}))


def of_interest(name: str) -> bool:
    """Whether a file is read at all: an image or a text, and not hidden."""
    pure = PurePosixPath(name)
    return not any(part.startswith(".") for part in pure.parts) and pure.suffix.lower() in SUFFIXES | TEXTS


def most_bytes(name: str) -> int:
    """How many bytes of a file are read, by its kind."""
    return MOST_TEXT if PurePosixPath(name).suffix.lower() in TEXTS else MOST_IMAGE


def too_large(name: str, size: int) -> str:
    """The issue of a file with more bytes than any image or list has; "" for others."""
    most = most_bytes(name)
    return f"has {size:,} bytes, at most {most:,} are read: shrink it or remove it" if size > most else ""


def examined(name: str, content: bytes, place: int) -> FileEntry:
    """The entry of a file, its header checked where it is an image."""
    problem = ""
    if PurePosixPath(name).suffix.lower() in SUFFIXES:
        try:
            check_header(io.BytesIO(content), name)
        except CorruptImage as error:
            problem = str(error)
    return FileEntry(len(content), hashlib.sha256(content).hexdigest(), problem, place)
