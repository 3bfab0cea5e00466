"""Labelled images read whole for `validate`: every file decoded, every fault named."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from spae.data.class_words import class_words, names_beside
from spae.data.image_file import SUFFIXES, read_image
from spae.data.protocol import ImageSet
from spae.data.spec import DataSpec
from spae.data.validation.protocol import Fault, Survey, told


def survey(text: str) -> Survey:
    """The survey of whatever follows `--data` of a few-shot task.

    Raises:
        DataError, InputError, UnknownName: there is nothing of that name to read.
    """
    from spae.data.registry import SETS, open_set

    if text in SETS:
        return OpenSurvey(open_set(text))
    if not text.startswith("hf:") and not Path(text.partition("?")[0]).exists():
        open_set(text)  # raises, and says what there is
    from spae.data.user_set import kind_of

    kind, spec = kind_of(text)
    if kind == "hub":
        return HubSurvey(spec)
    if kind == "archive":
        from spae.data.archives.archive_survey import ClassArchiveSurvey

        return ClassArchiveSurvey(Path(spec.location), spec.path("classes"))
    return FolderSurvey(spec)


class OpenSurvey:
    """A set that is open, and so has no fault but images that do not decode."""

    def __init__(self, data: ImageSet) -> None:
        self._data = data
        self._ids = sorted({one for group in data.classes for one in (*group.support, *group.query)})
        self.title = data.title
        self.total = len(self._ids)
        self.counts: dict[str, int] = {}

    def faults(self) -> Iterator[Fault | None]:
        """See `Survey.faults`."""
        self.counts |= {"classes": len(self._data.classes), "images": len(self._ids)}
        for one in self._ids:
            yield from decoded(one, lambda one=one: self._data.image(one))  # type: ignore[misc]

    def opened(self) -> ImageSet:
        """The set itself."""
        return self._data


class FolderSurvey:
    """Class folders, or a csv beside `images/`."""

    def __init__(self, spec: DataSpec) -> None:
        self._path, self._names = Path(spec.location), spec.path("classes")
        self.title = "folder of class folders" if self._path.is_dir() else "csv of file names and labels"
        self.total = 0
        self.counts: dict[str, int] = {}

    def faults(self) -> Iterator[Fault | None]:
        """See `Survey.faults`."""
        from spae.data.datasets.image_folder import home_of, labelled_files

        found: list[Fault] = []
        files = labelled_files(self._path, found.append)
        home = home_of(self._path)
        with told(found.append, str(self._names) if self._names else "."):
            class_words(files, names_beside(self._names, home), home, found.append)
        yield from found
        self.total = sum(map(len, files.values()))
        self.counts |= {"classes": len(files), "images": self.total}
        for label in files.values():
            for name, file in label.items():
                yield from decoded(name, lambda name=name, file=file: read_image(file, name))  # type: ignore[misc]

    def opened(self) -> ImageSet:
        """The set. Raises DataError."""
        from spae.data.datasets.image_folder import FolderSet

        return FolderSet(self._path, classes=self._names)


class HubSurvey:
    """One split of a Hugging Face data set."""

    def __init__(self, spec: DataSpec) -> None:
        from spae.data.datasets.hub_set import HubRows

        self._rows = HubRows(spec)
        self.title = f"Hugging Face data set, split {self._rows.split}"
        self.total = len(self._rows)
        self.counts: dict[str, int] = {}

    def faults(self) -> Iterator[Fault | None]:
        """See `Survey.faults`."""
        from spae.data.datasets.hub_set import home_of, rows_by_class

        rows, found = self._rows, list[Fault]()
        classes = rows_by_class(rows, found.append)
        home, names = home_of(rows.spec), rows.spec.path("classes")
        with told(found.append, str(names) if names else "."):
            class_words(sorted(classes), names_beside(names, home), home, found.append)
        yield from found
        self.counts |= {"classes": len(classes), "images": len(rows)}
        for row in range(len(rows)):
            name = rows.row_name(row)
            yield from decoded(name, lambda row=row, name=name: read_image(rows.content(row), name))  # type: ignore[misc]

    def opened(self) -> ImageSet:
        """The set. Raises DataError."""
        from spae.data.datasets.hub_set import HubSet

        return HubSet(self._rows.spec, self._rows.spec.text)


def decoded(name: str, read: Callable[[], Any]) -> Iterator[Fault | None]:
    """One image: its fault, if it has one, then None."""
    found: list[Fault] = []
    with warnings.catch_warnings(), told(found.append, name):
        # Said by Pillow of sizes that are refused here anyway.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        read()
    yield from found
    yield None


def decoded_files(read: Callable[[str], bytes], names: Iterable[str]) -> Iterator[Fault | None]:
    """The images among the files of a tree, each decoded."""
    for name in names:
        if PurePosixPath(name).suffix.lower() in SUFFIXES:
            yield from decoded(name, lambda name=name: read_image(io.BytesIO(read(name)), name))  # type: ignore[misc]
