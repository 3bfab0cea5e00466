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
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from spae.atomic import atomic_path
from spae.cache_folder import cache_folder
from spae.data.datasets.sample_source import shown_name
from spae.data.image_file import SUFFIXES, check_header, read_image
from spae.data.validation.protocol import Fault
from spae.errors import CorruptImage, DataError

FORMAT = 1
TEXTS = frozenset({".json", ".txt", ".csv"})
MOST_IMAGE = 64 * 2**20
MOST_TEXT = 512 * 2**20


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
    """Images and texts (.json, .txt, .csv) by their paths; hidden files and other kinds are passed over.

    Attributes:
        path: the folder or the archive.
        entries: by path inside the tree, "/" between parts; whole once `index` has ended.
        faults: names that may not be read: links that lead out, `../`, no ordinary files. The same.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, FileEntry] = {}
        self.faults: list[Fault] = []

    @abstractmethod
    def index(self, keep: bool = True) -> Iterator[str]:
        """Reads every file once and names each when it is read.

        Args:
            keep: whether the index may be kept in the cache folder, and one kept there be used.

        Raises:
            DataError: the archive is none, is cut short, or unpacks to far more than it is.
        """

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of a file of `entries`. Raises DataError where it is none, or changed since."""

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
            return {name: FileEntry(*parts) for name, parts in json.loads(kept.read_bytes()).items()}
        return {}

    def _save(self, kept: Path) -> None:
        # A cache that cannot be written costs time and nothing else.
        with contextlib.suppress(OSError), atomic_path(kept) as draft:
            draft.write_text(json.dumps({name: astuple(entry) for name, entry in self.entries.items()}))


class FolderTree(FileTree):
    """The files below a folder."""

    def index(self, keep: bool = True) -> Iterator[str]:
        """See `FileTree.index`; a file whose size and time of change are as they were is not read again."""
        kept = self._kept("folder")
        known = self._load(kept) if keep else {}
        root = self.path.resolve()
        for folder, folders, files in os.walk(self.path, onerror=self._unlisted):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files) + [one for one in folders if Path(folder, one).is_symlink()]:
                file = Path(folder, name)
                inside = file.relative_to(self.path).as_posix()
                if name.startswith(".") or (name not in folders and not of_interest(inside)):
                    continue
                reason = self._refused(file, root)
                if reason:
                    self.faults.append(Fault(shown_name(inside), "", reason))
                elif name not in folders:
                    self._take(inside, file, known)
                    yield inside
        if keep and self.entries != known:
            self._save(kept)

    def read(self, name: str) -> bytes:
        """See `FileTree.read`."""
        entry = self.entry(name)
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise DataError(f"{self.path / name} cannot be read ({error.strerror}): check its permissions") from error
        if len(content) != entry.size:
            raise DataError(f"{self.path / name} changed while it was in use: let it be, and run again")
        return content

    def _take(self, inside: str, file: Path, known: dict[str, FileEntry]) -> None:
        status = file.stat()
        old = known.get(inside)
        if old is not None and (old.size, old.place) == (status.st_size, status.st_mtime_ns):
            self.entries[inside] = old
            return
        problem = too_large(inside, status.st_size)
        if problem:
            self.faults.append(Fault(inside, "", problem))
            return
        try:
            content = file.read_bytes()
        except OSError as error:
            self.faults.append(Fault(inside, "", f"cannot be read ({error.strerror}): check its permissions"))
            return
        self.entries[inside] = examined(inside, content, status.st_mtime_ns)

    def _refused(self, file: Path, root: Path) -> str:
        if not file.name.isprintable():
            return "a name must be printable UTF-8: rename the file"
        try:
            target = file.resolve(strict=True)
            mode = target.stat().st_mode
        except (OSError, RuntimeError):
            return "is a link that cannot be followed: mend it or take it out"
        if not target.is_relative_to(root):
            return f"is a link that leads out of {self.path}: copy the file in, links must stay inside"
        if stat.S_ISDIR(mode):
            return "is a link to a folder, which is not followed: put the folder itself there"
        return "" if stat.S_ISREG(mode) else "is no ordinary file: take it out"

    def _unlisted(self, error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be listed ({error.strerror}): check its permissions") from error


def open_tree(path: Path, keep: bool = True) -> FileTree:
    """The tree at a path, indexed.

    Raises:
        DataError: nothing is there, it is no archive that can be read, or one of its names may not be read.
    """
    tree = tree_at(path)
    for _ in tree.index(keep):
        pass
    if tree.faults:
        more = f" (and {len(tree.faults) - 1} more)" if len(tree.faults) > 1 else ""
        raise DataError(f"{path}: {tree.faults[0].line}{more}")
    return tree


def tree_at(path: Path) -> FileTree:
    """The tree at a path, to be indexed. Raises DataError where nothing is there."""
    if path.is_dir():
        return FolderTree(path)
    if not path.is_file():
        raise DataError(f"no folder or archive at {path}: check the path")
    from spae.data.archives.tar_tree import TarTree

    return TarTree(path)


def of_interest(name: str) -> bool:
    """Whether a file is read at all: an image or a text, and not hidden."""
    pure = PurePosixPath(name)
    return not any(part.startswith(".") for part in pure.parts) and pure.suffix.lower() in SUFFIXES | TEXTS


def too_large(name: str, size: int) -> str:
    """What is said of a file of more bytes than any image or list has; "" for others."""
    most = MOST_TEXT if PurePosixPath(name).suffix.lower() in TEXTS else MOST_IMAGE
    return f"has {size:,} bytes, at most {most:,} are read: shrink it or take it out" if size > most else ""


def examined(name: str, content: bytes, place: int) -> FileEntry:
    """The entry of a file, its header checked where it is an image."""
    problem = ""
    if PurePosixPath(name).suffix.lower() in SUFFIXES:
        try:
            check_header(io.BytesIO(content), name)
        except CorruptImage as error:
            problem = str(error)
    return FileEntry(len(content), hashlib.sha256(content).hexdigest(), problem, place)
