"""Class folders of images or clips as rows to train on: ImageNet's layout, ImageNet-21k's, or a user's own.

    imagenet/train/n01440764/n01440764_10026.JPEG      PATH, or Kaggle's PATH/ILSVRC/Data/CLS-LOC
    imagenet/val/n01440764/ILSVRC2012_val_00000293.JPEG
    imagenet/val/ILSVRC2012_val_00000293.JPEG          flat, with LOC_val_solution.csv in PATH, val/ or above PATH
    flowers/rose/1.jpg                                 no train/: a hundredth is held out

N rows, K classes.
"""

from __future__ import annotations

import csv
import hashlib
import os
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spae.data.class_names import find_class_text
from spae.data.datasets.corrupt_files import CorruptFiles
from spae.data.datasets.sample_source import NameTable, SampleFacts, shown_name, split_off
from spae.data.exclusion import KeptClasses, keep_classes
from spae.data.image_file import SUFFIXES
from spae.data.spec import DataSpec
from spae.errors import CorruptImage, DataError

TRAIN = ("train", "training")
HELD_OUT = ("val", "validation", "valid", "validate", "test")
HOMES = (".", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
SOLUTION = "LOC_val_solution.csv"
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class FolderSamples(SampleFacts):
    """A `SampleSource` of files below one or two folders.

    Attributes:
        roots: the training folder, and the held-out one where there is one.
        paths: [N] below their root.
        root_of: [N] uint8, place in `roots`.
        Others as in `SampleSource`.
    """

    roots: tuple[Path, ...]
    paths: NameTable
    root_of: np.ndarray

    def row_name(self, row: int) -> str:
        """The path below its root."""
        return shown_name(self.paths[row])

    def content(self, row: int) -> Path:
        """The file, unless it is a link that leads out of its root."""
        root = self.roots[int(self.root_of[row])]
        path = root / self.paths[row]
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            raise CorruptImage(f"{self.row_name(row)} is a link that leads out of {root}: copy the file in")
        return path


def open_folder(
    spec: DataSpec, exclude: Path | None, corrupt_files_list: Path | None, suffixes: Collection[str] = SUFFIXES
) -> FolderSamples:
    """Lists the files; none is opened.

    Args:
        spec: options `classes` (file of names), `val` (folder to hold out), `labels=none` (one class, any layout).
        exclude: file of classes to leave out.
        suffixes: of the files that count.

    Raises:
        DataError: no such folder, no class, a class that cannot be named or is a link that leads out.
    """
    spec.only("classes", "val", "labels")
    given = Path(spec.location)
    if not given.is_dir():
        raise DataError(f"no folder at {given}: check the path")
    home = next((given / one for one in HOMES if any((given / one / name).is_dir() for name in TRAIN)), given)
    train = next((home / name for name in TRAIN if (home / name).is_dir()), home)
    aside = spec.path("val")
    if aside is not None and not aside.is_dir():
        raise DataError(f"val={aside} is no folder: check the path")
    if aside is None and train != home:
        aside = next((home / name for name in HELD_OUT if (home / name).is_dir()), None)
    beside = (given, home, given.parent)
    lister = Lister(suffixes, labelled=spec.options.get("labels") != "none")
    found = lister.rows(train)
    if not found:
        raise DataError(f"{train} holds no class folder: expected CLASS/FILE in it, or give ?labels=none")
    labels = list(found)
    kept = keep_classes(labels, find_class_text(spec.path("classes"), beside), exclude, str(given))
    listing = Listing()
    listing.add(0, found, labels, kept)
    held = lister.rows(aside, _solution(aside, beside)) if aside is not None else {}
    listing.add(1, {label: files for label, files in held.items() if label in found}, labels, kept)
    foreign = sum(label not in found for label in held)
    return listing.source(
        spec.text, kept, (train, aside) if aside is not None else (train,), foreign, corrupt_files_list
    )


class Listing:
    """Rows as they are found, in flat arrays; `root` is 0 for training files and 1 for held-out ones."""

    def __init__(self) -> None:
        self.names: list[NameTable] = []
        self.labels, self.roots = array("i"), array("B")

    def add(self, root: int, found: dict[str, NameTable], labels: list[str], kept: KeptClasses) -> None:
        """Files by label, those of the classes that stay."""
        for number, label in enumerate(labels):
            if label in found and kept.place[number] >= 0:
                self.names.append(found[label])
                self.labels.extend([int(kept.place[number])] * len(found[label]))
                self.roots.extend([root] * len(found[label]))

    def source(
        self,
        name: str,
        kept: KeptClasses,
        roots: tuple[Path, ...],
        foreign: int,
        corrupt_files_list: Path | None,
        note: str = "",
    ) -> FolderSamples:
        """The rows so far as a source.

        Args:
            foreign: classes of the held-out folder that training does not have.
            note: ends the title.
        """
        paths = NameTable.joined(self.names)
        root_of = np.array(self.roots, dtype=np.uint8)
        train, held = np.flatnonzero(root_of == 0), np.flatnonzero(root_of == 1)
        if not len(train):
            raise DataError(f"{roots[0]} holds no file of the classes that stay: check the path")
        if len(roots) == 1:
            train, held = split_off(paths, train)
        elif not len(held):
            raise DataError(f"{roots[1]} holds no file of the classes that are trained on: name another by ?val=FOLDER")
        total = hashlib.sha256(repr(kept.texts).encode("utf-8", "surrogateescape"))
        total.update(paths.blob)
        total.update(np.array(self.labels, dtype=np.int32).tobytes())
        unknown = f"; {foreign} classes of {roots[-1].name}/ are none of training's and left out" if foreign else ""
        without = f", {kept.unnamed} of them called by an id" if kept.unnamed else ""
        return FolderSamples(
            name=name,
            title=f"{len(kept.texts):,} classes{without}, {len(train):,} files to train on, {len(held):,} held out"
            + unknown
            + note,
            fingerprint=total.hexdigest(),
            classes=kept.texts,
            unnamed=kept.unnamed,
            labels=np.array(self.labels, dtype=np.int32),
            train=train,
            held_out=held,
            corrupt_files=CorruptFiles(len(train) + len(held), file=corrupt_files_list),
            roots=roots,
            paths=paths,
            root_of=root_of,
        )


class Lister:
    """Finds the files of a folder, by class.

    Args:
        suffixes: of the files that count, lower case.
        labelled: False puts all files, in class folders or not, into one class.
    """

    def __init__(self, suffixes: Collection[str], labelled: bool) -> None:
        self._suffixes, self._labelled = suffixes, labelled

    def rows(self, root: Path, flat: dict[str, str] | None = None) -> dict[str, NameTable]:
        """Label -> paths below the root, both sorted.

        Args:
            flat: label by the stem of a file that lies in the root itself.
        """
        if not self._labelled:
            everything = NameTable(self.names(root))
            return {UNLABELLED: everything} if len(everything) else {}
        found = {}
        for name in _folders(root):
            paths = NameTable(self._in(root, name))
            if not len(paths):
                raise DataError(
                    f"class folder {name!r} of {root} holds no {', '.join(sorted(self._suffixes))}: "
                    "add some or take it out"
                )
            found[name] = paths
        loose = list(self._files(root, "")) if not found else []
        if loose and flat is None:
            raise DataError(f"{root} holds files but no class folders: give ?labels=none, or for ImageNet {SOLUTION}")
        by_label: dict[str, list[str]] = {}
        for path in loose:
            label = (flat or {}).get(path.rpartition(".")[0])
            if label is None:
                raise DataError(f"{root / path} has no line in {SOLUTION}: add it or take the file out")
            by_label.setdefault(label, []).append(path)
        return found or {label: NameTable(by_label[label]) for label in sorted(by_label)}

    def names(self, root: Path) -> Iterator[str]:
        """Paths of all files, those of the root itself first."""
        yield from self._files(root, "")
        for name in _folders(root):
            yield from self._in(root, name)

    def _in(self, root: Path, name: str) -> Iterator[str]:
        if (root / name).is_symlink() and not (root / name).resolve().is_relative_to(root.resolve()):
            raise DataError(f"class folder {name!r} of {root} is a link that leads out of it: copy the images in")
        return self._files(root / name, name + "/")

    def _files(self, folder: Path, before: str) -> Iterator[str]:
        """Names of files of the right suffixes, sorted, without the hidden ones that systems leave behind."""
        with _scan(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and os.path.splitext(entry.name)[1].lower() in self._suffixes
                and not entry.is_dir()
            ]
        return (before + name for name in sorted(names))


def _folders(root: Path) -> list[str]:
    with _scan(root) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def _scan(folder: Path) -> os._ScandirContextManager[os.DirEntry[str]]:  # type: ignore[name-defined]
    try:
        return os.scandir(folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror}): check its permissions") from error


def _solution(aside: Path, beside: tuple[Path, ...]) -> dict[str, str] | None:
    """Labels of ImageNet's flat validation folder: lines `ILSVRC2012_val_00048981,n03995372 85 1 499 272`."""
    path = next((folder / SOLUTION for folder in (aside, *beside) if (folder / SOLUTION).is_file()), None)
    if path is None:
        return None
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
            return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, IndexError, AttributeError) as error:
        raise DataError(f"{path} must have lines ImageId,PredictionString ({error!r}): download it again") from error
