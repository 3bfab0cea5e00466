"""A user's own pictures as a `PictureSet`: a folder of class folders, or the mini-ImageNet csv beside `images/`.

    flowers/rose/1.jpg            miniimagenet/test.csv      (header: filename,label)
    flowers/sea_lavender/1.jpg    miniimagenet/images/n0193011200000003.jpg

A class is called by its folder or label, underscores read as spaces. Where all of them are WordNet ids, the names are
those of mini-ImageNet's test classes. A `classes.txt` beside the folders (or the csv) names others: lines `id name`.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from spae.data.mini_imagenet import TEST_CLASSES
from spae.data.picture_file import SUFFIXES, check_header, read_picture
from spae.data.protocol import ClassPictures
from spae.errors import DataError

WNID = re.compile(r"n\d{8}")
NAMES_FILE = "classes.txt"
LAYOUT = "expected CLASS/PICTURE.jpg in it, or the path of a csv (filename,label) beside images/"


class FolderSet:
    """Labelled pictures of a folder; every picture may be an example and may be asked about.

    Every file is read here once, for its header and for the fingerprint, so that a broken one is named before anything
    is spent on the others; a file damaged behind its header is found when it is decoded.

    Args:
        path: the folder, or the csv.
        name: how the user called it; None takes the path as given.

    Raises:
        DataError: missing path, no class, one class, a class without pictures, a name that leaves the folder.
        CorruptPicture: a file whose header is no picture's, or claims too many pixels.
    """

    embedded = False

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.name = name if name is not None else str(path)
        if not path.exists():
            raise DataError(f"no folder or csv at {path}: check the path")
        home = path if path.is_dir() else path.parent
        found = _class_folders(path) if path.is_dir() else _csv_rows(path)
        if not found:
            raise DataError(f"{path} holds no class: {LAYOUT}")
        if len(found) == 1:
            raise DataError(f"{path} holds one class ({next(iter(found))}), few-shot needs at least two: {LAYOUT}")
        names = _class_names(found, home)
        self._files = {picture_id: file for files in found.values() for picture_id, file in files.items()}
        for picture_id, file in self._files.items():
            check_header(file, f"{picture_id} of {path}")
        self.classes = tuple(
            ClassPictures(names[label], tuple(found[label]), tuple(found[label]))
            for label in sorted(found, key=lambda label: names[label])
        )
        self.title = f"{path.name or path}: {len(self.classes)} classes, {len(self._files)} pictures of the user's own"
        self.fingerprint = self._hash()

    def _hash(self) -> str:
        """sha256 over class names, picture ids and the bytes of every file."""
        total = hashlib.sha256()
        for one in self.classes:
            total.update(f"{len(one.name)}:{one.name}\n".encode())
            for picture_id in one.support:
                content = hashlib.sha256(self._files[picture_id].read_bytes()).hexdigest()
                total.update(f"{len(picture_id)}:{picture_id} {content}\n".encode())
        return total.hexdigest()

    def picture(self, picture_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptPicture where it does not decode, DataError for an unknown id."""
        if picture_id not in self._files:
            raise DataError(f"{self.name} has no picture {picture_id!r}: ids are paths inside it, as in its classes")
        return read_picture(self._files[picture_id], f"{picture_id} of {self.name}")


def _class_folders(root: Path) -> dict[str, dict[str, Path]]:
    """Label -> picture id -> file, sorted by name. Hidden entries and files that are no pictures are passed over."""
    found: dict[str, dict[str, Path]] = {}
    for folder in _visible(root):
        if not folder.is_dir():
            continue
        label = _printable(folder.name, root)
        _inside(folder, root)
        files = [file for file in _visible(folder) if file.suffix.lower() in SUFFIXES]
        if not files:
            raise DataError(
                f"class folder {label!r} of {root} holds no picture ({', '.join(sorted(SUFFIXES))}): "
                f"add some or take the folder out"
            )
        found[label] = {f"{label}/{_printable(file.name, root)}": _inside(file, root) for file in files}
    if len(found) == 1 and "images" in found and any(root.glob("*.csv")):
        table = sorted(root.glob("*.csv"))[0].name
        raise DataError(f"{root} holds images/ and a csv, not class folders: give the csv itself ({root / table})")
    return found


def _csv_rows(table: Path) -> dict[str, dict[str, Path]]:
    """Label -> picture id -> file of a csv with the columns filename and label, sorted."""
    images = table.parent / "images"
    if not images.is_dir():
        raise DataError(f"{table} needs the folder images/ beside it, there is none: put the pictures there")
    listed: dict[str, str] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            if not {"filename", "label"} <= set(reader.fieldnames or ()):
                raise DataError(f"{table} has the columns {reader.fieldnames}, expected filename,label: name them so")
            for row in reader:
                filename, label = row["filename"], row["label"]
                if not filename or not label:
                    raise DataError(f"{table} line {reader.line_num} lacks a filename or a label: complete it")
                if filename in listed:
                    raise DataError(f"{table} line {reader.line_num} lists {filename!r} again: list each file once")
                listed[_printable(filename, table)] = _printable(label, table)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{table} does not read as a UTF-8 csv ({error}): save it so") from error
    found: dict[str, dict[str, Path]] = {}
    for filename, label in sorted(listed.items(), key=lambda item: (item[1], item[0])):
        file = _inside(images / filename, table.parent)
        if not file.is_file():
            raise DataError(f"{table} lists {filename!r}, which is not in {images}: add the file or take the line out")
        found.setdefault(label, {})[filename] = file
    return found


def _class_names(labels: Mapping[str, object], home: Path) -> dict[str, str]:
    """Label -> the text an LLM is shown. No two may be alike when case is ignored: replies are compared so."""
    given = _names_file(home / NAMES_FILE)
    all_wnids = all(WNID.fullmatch(label) for label in labels)
    names: dict[str, str] = {}
    owner: dict[str, str] = {}
    for label in labels:
        if label in given:
            names[label] = given[label]
        elif not all_wnids:
            names[label] = " ".join(label.replace("_", " ").split())
        elif label in TEST_CLASSES:
            names[label] = TEST_CLASSES[label]
        else:
            raise DataError(
                f"{home} has the WordNet id {label}, which is no test class of mini-ImageNet: "
                f"write its name to {home / NAMES_FILE} as a line '{label} NAME'"
            )
        if not names[label]:
            raise DataError(f"{home} has a class {label!r} without a name: rename the folder")
        other = owner.setdefault(names[label].casefold(), label)
        if other != label:
            raise DataError(f"{home} has two classes called {names[label]!r} ({other!r}, {label!r}): rename one")
    return names


def _names_file(path: Path) -> dict[str, str]:
    """The lines `id name` of classes.txt; nothing where there is no such file."""
    if not path.exists():
        return {}
    names: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} does not read as UTF-8 text ({error}): save it so") from error
    for number, line in enumerate(lines, start=1):
        label, _, name = line.strip().partition(" ")
        if not label:
            continue
        if not name.strip() or label in names:
            raise DataError(f"{path} line {number} is {line!r}, expected one line 'id name' for each class: correct it")
        names[label] = _printable(" ".join(name.split()), path)
    return names


def _visible(folder: Path) -> Iterator[Path]:
    """Entries by name, without the hidden ones that systems leave behind."""
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror}): check its permissions") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_symlink() and not entry.exists():
            raise DataError(f"{entry} is a link to nothing: mend it or take it out")
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
        raise DataError(f"{path} leads out of {root}: copy the pictures in, links and names must stay inside")
    return path
