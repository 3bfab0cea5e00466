"""Images that come with text about them: captions, or questions and their answers.

COCO_val2014_000000391895.jpg    captions   "A man with a red helmet on a small moped on a dirt road."
                                            "Man riding a motor bike on a dirt road on the countryside."
                                 questions  "what is the man riding ?" -> ("moped",)
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from spae.canonical import sha256_file
from spae.data.image_file import read_image
from spae.data.issues import DataIssue
from spae.data.protocol import ClassImages, ImageSet
from spae.errors import DataError


@dataclass(frozen=True)
class Question:
    """One question about one image.

    Attributes:
        id: unique in its set.
        text: one line, not empty.
        answers: every answer that counts as right, the first the one that prompts show; each one line, not empty.
        kind: what is asked for, as the data calls it ("object", "number", "color", "location"); "" where it does not.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class Annotations:
    """Captions and questions of one image.

    Attributes:
        captions: sentences, each one line, not empty; () where the data has none.
        questions: () where the data has none.
    """

    captions: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()


@runtime_checkable
class AnnotatedSet(Protocol):
    """A `ImageSet` whose images are described rather than sorted.

    Attributes:
        name, title, embedded, classes: as of a `ImageSet`; `classes` is () where images have none.
        fingerprint: sha256 over ids, annotations and what names the images' content (their bytes, or where those are
            gigabytes, their names and sizes: `image_digest` then covers the bytes of those that are used).
        support: ids of images that may stand in a prompt as examples, sorted.
        query: ids of images that may be asked about, sorted. The two may share ids: no sample shows its own query.
        annotations: by image id, of every id in `support` and `query`.
    """

    name: str
    title: str
    embedded: bool
    fingerprint: str
    classes: tuple[ClassImages, ...]
    support: tuple[str, ...]
    query: tuple[str, ...]
    annotations: Mapping[str, Annotations]

    def image(self, image_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown id."""
        ...

    def image_digest(self, image_id: str) -> str:
        """sha256 of the image as it is stored. Raises DataError for an unknown id or a file that cannot be read."""
        ...


def query_images(data: ImageSet) -> dict[str, str]:
    """Every image that may be asked about, in the set's order, and what a reader calls it: class or first caption."""
    if isinstance(data, AnnotatedSet):
        said = {name: data.annotations[name] for name in data.query}
        return {name: next(iter(one.captions), name) for name, one in said.items()}
    found: dict[str, str] = {}
    for group in data.classes:
        for name in group.query:
            found.setdefault(name, group.name)
    return found


def one_line(text: str) -> str:
    """The text with every run of white space as one space: captions as published have line breaks in them."""
    return " ".join(text.split())


class AnnotatedFiles(ABC):
    """An `AnnotatedSet` but for its title, from the sources that a subclass reads.

    Args:
        queries: the source whose images are asked about.
        examples: the source whose images prompts show; None takes the same.
        name: how the user called it; None takes the path of `queries`.

    The fingerprint covers every annotation, and of the images their names and sizes in bytes: the thousands that no
    sample uses are not read. `image_digest` covers the bytes of those that are.

    Raises:
        DataError: the first issue of a source; `validate` tells them all.
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


def raise_first_issue(issues: Iterable[DataIssue | None]) -> None:
    """Raises DataError for the first issue of a source."""
    for issue in issues:
        if issue is not None:
            raise DataError(f"{issue.file} {issue.field}: {issue.message} (validate names every issue)")
