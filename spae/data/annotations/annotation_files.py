"""Annotations in a user's files: what readers of COCO's captions and of COCO-QA's questions share.

Images lie beside an annotation file, in one of the usual folders; no name in a file leads out of them.
"""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spae import regular_file
from spae.canonical import sha256_file
from spae.data.annotations.annotated import Annotations
from spae.data.image_file import SUFFIXES, is_inside_name, read_image, stays_inside
from spae.data.issues import DataIssue
from spae.data.protocol import ClassImages
from spae.errors import DataError

MAX_BYTES = 256_000_000
"""COCO's largest caption file has 92 MB. Parsed, text takes about ten times its size in memory."""
SPLITS = ("train2014", "val2014", "test2014", "test2015", "train2017", "val2017", "test2017")
_NUMBER = re.compile(r"(\d+)$", re.ASCII)


class AnnotationFile(ABC):
    """One source of annotations, as far as it can be read.

    Attributes:
        path: the file, or the folder of files.
        files: image -> its file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, Path] = {}

    @abstractmethod
    def issues(self) -> Iterator[DataIssue | None]:
        """Reads the source and looks for its images: every issue, and a None for each entry read."""

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """What was read, by name."""

    def read(self) -> None:
        """Reads the source. Raises DataError for its first issue."""
        for issue in self.issues():
            if issue is not None:
                raise DataError(f"{issue.file} {issue.field}: {issue.message} (validate names every issue)")


class AnnotatedFiles(ABC):
    """An `AnnotatedSet` but for its title, from the sources that a subclass reads.

    Args:
        queries: the source whose images are asked about.
        examples: the source whose images prompts show; None takes the same.
        name: how the user called it; None takes the path of `queries`.

    The fingerprint covers every annotation and the names and sizes of the images; their bytes are covered by
    `image_digest`, so that the thousands that no sample uses are not read.

    Raises:
        DataError: the first issue of a source; `validate` names them all.
    """

    embedded = False
    classes: tuple[ClassImages, ...] = ()
    title: str

    def __init__(self, queries: Path, examples: Path | None = None, *, name: str | None = None) -> None:
        self.name = name if name is not None else str(queries)
        self._files: dict[str, Path] = {}
        self._said: dict[str, Annotations] = {}
        self.annotations: Mapping[str, Annotations] = self._said
        self.query = self._read(queries)
        self.support = self.query if examples is None else self._read(examples)
        total = hashlib.sha256()
        for image, one in sorted(self.annotations.items()):
            size = self._files[image].stat().st_size
            total.update(f"{len(image)}:{image} {size} {self._hashed(one)!r}\n".encode())
        total.update(f"{len(self.query)} {len(self.support)}".encode())
        self.fingerprint = total.hexdigest()

    @abstractmethod
    def _read(self, path: Path) -> tuple[str, ...]:
        """Adds a source's images to `_files` and `_said`; returns their ids, sorted."""

    @abstractmethod
    def _hashed(self, one: Annotations) -> object:
        """What of an image's annotations the fingerprint covers, by its repr."""

    def image(self, image_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown id."""
        return read_image(self._file(image_id), f"{image_id} of {self.name}")

    def image_digest(self, image_id: str) -> str:
        """sha256 of the file. Raises DataError for an unknown id or a file that cannot be read."""
        path = self._file(image_id)
        try:
            return sha256_file(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): check the file") from error

    def _file(self, image_id: str) -> Path:
        if image_id not in self._files:
            raise DataError(f"{self.name} has no image {image_id!r}: ids read FOLDER/FILE")
        return self._files[image_id]


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """The text of a UTF-8 file without its byte order mark. Raises DataError: missing, too large, not UTF-8."""
    try:
        return regular_file.read_text(path, most)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be UTF-8, byte {error.start} is not: save it as UTF-8") from error


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises DataError: as `read_text`, or not JSON, nested too deeply, or too much of it."""
    try:
        return regular_file.parse_json(read_text(path).encode())
    except ValueError as error:
        raise DataError(f"{path} is no JSON that can be used ({error}): download or export it again") from error


def usual_folders(home: Path, split: str = "") -> list[Path]:
    """Folders beside an annotation file that images are usually kept in, most likely first; those that exist.

    Args:
        home: the annotation file's folder.
        split: the name of the images' folder, if the file's name tells it ("val2014"); else "".
    """
    names = [split] if split else list(SPLITS)
    found: list[Path] = []
    for base in (home, home.parent):
        tried = [*(base / name for name in names), *(base / "images" / name for name in names), base / "images", base]
        found.extend(folder for folder in tried if folder.is_dir() and folder not in found)
    return found


def is_image_name(name: str) -> bool:
    """Whether a name in an annotation file is printable and stays below the folder of images, on any system."""
    return name.isprintable() and ":" not in name.partition("/")[0] and is_inside_name(name)


def file_inside(folder: Path, name: str) -> Path | None:
    """The file of that name below the folder; None if there is no such file.

    Raises:
        DataError: the name, or a link behind it, leads out of the folder.
    """
    if not is_image_name(name):
        raise DataError(f"an image's name must stay inside {folder}, got {name!a}: correct it")
    path = folder / name
    try:
        if not path.is_file():
            return None
    except OSError as error:
        raise DataError(f"{path} cannot be followed ({error}): correct the link or remove it") from error
    if not stays_inside(path, folder):
        raise DataError(f"{path} leads out of {folder}: copy the image in, links must stay inside")
    return path


def by_number(folders: Iterable[Path]) -> dict[int, Path]:
    """Image files by the number their names end in (COCO_val2014_000000000042.jpg is 42), not looking into folders.

    COCO numbers an image once for all of its editions, so the first folder that has a number wins.
    """
    found: dict[int, Path] = {}
    for folder in folders:
        with os.scandir(folder) as entries:
            files = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        for name in files:
            stem, suffix = os.path.splitext(name)
            number = _NUMBER.search(stem)
            if number and suffix.lower() in SUFFIXES:
                found.setdefault(int(number[1]), folder / name)
    return found
