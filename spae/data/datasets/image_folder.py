"""A user's own images as a `ImageSet`: a folder of class folders, or the mini-ImageNet csv beside `images/`.

    flowers/rose/1.jpg            miniimagenet/test.csv      (header: filename,label)
    flowers/sea_lavender/1.jpg    miniimagenet/images/n0193011200000003.jpg

A class is called by its folder or label, underscores read as spaces. Where all of them are WordNet ids, the names are
those of mini-ImageNet's test classes. A file of names beside the folders or the csv (`classes.txt`: lines `id name`;
the other kinds of `spae.data.class_names`) or one named by `?classes=FILE` names others.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spae.data.class_names import class_words, names_beside
from spae.data.image_file import SUFFIXES, check_header, read_image
from spae.data.issues import Report, reported
from spae.data.protocol import ClassImages
from spae.errors import DataError

LAYOUT = "expected CLASS/IMAGE.jpg in it, or the path of a csv (filename,label) beside images/"


class FolderSet:
    """Labelled images of a folder; every image may be an example and may be asked about.

    Every file is read here once, for its header and for the fingerprint, so that a broken one is named before anything
    is spent on the others; a file damaged behind its header is found when it is decoded.

    Args:
        path: the folder, or the csv.
        name: how the user called it; None takes the path as given.
        classes: a file of names; None takes the one beside the data, where there is one.

    Raises:
        DataError: missing path, no class, one class, a class without images, a name that leaves the folder.
        CorruptImage: a file whose header is no image's, or claims too many pixels.
    """

    embedded = False

    def __init__(self, path: Path, name: str | None = None, classes: Path | None = None) -> None:
        self.name = name if name is not None else str(path)
        found = labelled_files(path)
        home = home_of(path)
        names = class_words(found, names_beside(classes, home), home)
        self._files = {image_id: file for files in found.values() for image_id, file in files.items()}
        for image_id, file in self._files.items():
            check_header(file, f"{image_id} of {path}")
        self.classes = tuple(
            ClassImages(names[label], tuple(found[label]), tuple(found[label]))
            for label in sorted(found, key=lambda label: names[label])
        )
        self.title = f"{path.name or path}: {len(self.classes)} classes, {len(self._files)} images of the user's own"
        self.fingerprint = self._hash()

    def _hash(self) -> str:
        """sha256 over class names, image ids and the bytes of every file."""
        total = hashlib.sha256()
        for one in self.classes:
            total.update(f"{len(one.name)}:{one.name}\n".encode())
            for image_id in one.support:
                content = hashlib.sha256(self._files[image_id].read_bytes()).hexdigest()
                total.update(f"{len(image_id)}:{image_id} {content}\n".encode())
        return total.hexdigest()

    def image(self, image_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown id."""
        if image_id not in self._files:
            raise DataError(f"{self.name} has no image {image_id!r}: ids are paths inside it, as in its classes")
        return read_image(self._files[image_id], f"{image_id} of {self.name}")


def home_of(path: Path) -> Path:
    """The folder that a set's names may not leave."""
    return path if path.is_dir() else path.parent


def labelled_files(path: Path, report: Report | None = None) -> dict[str, dict[str, Path]]:
    """Label -> image id -> file, sorted, of a folder of class folders or of a csv.

    Args:
        path: the folder, or the csv.
        report: called with everything that is wrong, which is then left out; None raises the first.

    Raises:
        DataError: there is nothing at the path; without a `report`, see `FolderSet`.
    """
    if not path.exists():
        raise DataError(f"no folder or csv at {path}: check the path")
    found: dict[str, dict[str, Path]] = {}
    with reported(report, "." if path.is_dir() else path.name):
        found = _class_folders(path, report) if path.is_dir() else _csv_rows(path, report)
        if not found:
            raise DataError(f"{path} holds no class: {LAYOUT}")
        if len(found) == 1:
            raise DataError(f"{path} holds one class ({next(iter(found))}), few-shot needs at least two: {LAYOUT}")
    return found


def _class_folders(root: Path, report: Report | None) -> dict[str, dict[str, Path]]:
    """Hidden entries and files that are no images are passed over."""
    found: dict[str, dict[str, Path]] = {}
    for folder in _visible(root, report):
        if not folder.is_dir():
            continue
        with reported(report, ascii(folder.name)[1:-1]):
            label = _printable(folder.name, root)
            _inside(folder, root)
            files = [file for file in _visible(folder, report) if file.suffix.lower() in SUFFIXES]
            if not files:
                raise DataError(
                    f"class folder {label!r} of {root} holds no image ({', '.join(sorted(SUFFIXES))}): "
                    f"add some or take the folder out"
                )
            found[label] = {}
            for file in files:
                with reported(report, ascii(f"{label}/{file.name}")[1:-1]):
                    found[label][f"{label}/{_printable(file.name, root)}"] = _inside(file, root)
    if len(found) == 1 and "images" in found and any(root.glob("*.csv")):
        table = sorted(root.glob("*.csv"))[0].name
        raise DataError(f"{root} holds images/ and a csv, not class folders: give the csv itself ({root / table})")
    return found


def _csv_rows(table: Path, report: Report | None) -> dict[str, dict[str, Path]]:
    """The columns filename and label; others are passed over."""
    images = table.parent / "images"
    if not images.is_dir():
        raise DataError(f"{table} needs the folder images/ beside it, there is none: put the images there")
    rows: dict[str, tuple[str, Path]] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            if not {"filename", "label"} <= set(reader.fieldnames or ()):
                raise DataError(f"{table} has the columns {reader.fieldnames}, expected filename,label: name them so")
            for row in reader:
                with reported(report, table.name, f"line {reader.line_num}"):
                    filename, label = row["filename"], row["label"]
                    if not filename or not label:
                        raise DataError(f"{table} line {reader.line_num} lacks a filename or a label: complete it")
                    if filename in rows:
                        raise DataError(f"{table} line {reader.line_num} lists {filename!r} again: list each file once")
                    file = _inside(images / _printable(filename, table), table.parent)
                    if not file.is_file():
                        raise DataError(
                            f"{table} lists {filename!r}, which is not in {images}: add the file or take the line out"
                        )
                    rows[filename] = (_printable(label, table), file)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{table} does not read as a UTF-8 csv ({error}): save it so") from error
    found: dict[str, dict[str, Path]] = {}
    for filename, (label, file) in sorted(rows.items(), key=lambda item: (item[1][0], item[0])):
        found.setdefault(label, {})[filename] = file
    return found


def _visible(folder: Path, report: Report | None) -> Iterator[Path]:
    """Entries by name, without the hidden ones that systems leave behind."""
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror}): check its permissions") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        sound = False
        with reported(report, ascii(entry.name)[1:-1]):
            if entry.is_symlink() and not entry.exists():
                raise DataError(f"{entry} is a link to nothing: mend it or take it out")
            sound = True
        if sound:
            yield entry


def _printable(name: str, where: Path) -> str:
    """The name, if it can stand in a prompt and a record: no line breaks, control characters or broken encoding."""
    if not name.isprintable():
        raise DataError(f"{where} has a name with unprintable characters ({name!a}): rename it")
    return name


def _inside(path: Path, root: Path) -> Path:
    """The path, if it stays below the root after all links are followed."""
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path} cannot be followed ({error}): mend the link or take it out") from error
    if not inside:
        raise DataError(f"{path} leads out of {root}: copy the images in, links and names must stay inside")
    return path
