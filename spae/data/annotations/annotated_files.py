"""Annotated images that lie in files of a user's: what COCO's captions and COCO-QA's questions have in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from spae.data.annotations.annotated import Annotations
from spae.data.image_file import read_image
from spae.data.protocol import ClassImages
from spae.data.validation.protocol import Fault
from spae.errors import DataError


class AnnotatedFiles(ABC):
    """An `AnnotatedSet` but for its title, from the sources that a subclass reads.

    Args:
        queries: the source whose images are asked about.
        examples: the source whose images prompts show; None takes the same.
        name: how the user called it; None takes the path of `queries`.

    The fingerprint covers every annotation, and of the images their names and sizes in bytes: the thousands that no
    sample uses are not read. `image_digest` covers the bytes of those that are.

    Raises:
        DataError: the first fault of a source; `validate` tells them all.
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
        return _file_digest(self._file(image_id))

    def _file(self, image_id: str) -> Path:
        if image_id not in self._files:
            raise DataError(f"{self.name} has no image {image_id!r}: ids read FOLDER/FILE")
        return self._files[image_id]


def refuse_faults(faults: Iterable[Fault | None]) -> None:
    """Raises DataError for the first fault of a source."""
    for fault in faults:
        if fault is not None:
            raise DataError(f"{fault.file} {fault.field}: {fault.message} (validate names every fault)")


def image_faults(files: Mapping[str, Path]) -> Iterator[Fault | None]:
    """Decodes every file: a fault for each that is none, else None."""
    for name, file in files.items():
        try:
            read_image(file, name)
        except DataError as error:
            yield Fault(name, "", str(error))
        else:
            yield None


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the file") from error
