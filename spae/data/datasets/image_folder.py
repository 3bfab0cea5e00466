"""Class folders of images: a user's own, ImageNet's layout, or ImageNet-21k's.

    imagenet/train/n01440764/n01440764_10026.JPEG      PATH, or Kaggle's PATH/ILSVRC/Data/CLS-LOC
    imagenet/val/n01440764/ILSVRC2012_val_00000293.JPEG
    imagenet/val/ILSVRC2012_val_00000293.JPEG          flat, with LOC_val_solution.csv in PATH, val/ or above PATH
    flowers/rose/1.jpg                                 no train/: 1% is held out from training

An evaluation reads the class folders of one folder (`folder_samples`) and checks every name; training takes the layouts
above (`open_folder`) and checks a link when its file is read.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from spae.data.class_names import find_class_text
from spae.data.datasets.csv_table import csv_rows, csv_samples
from spae.data.datasets.sample_source import SampleSource, training_source
from spae.data.datasets.samples import UNLABELLED, FileSamples, NameTable, shown_name
from spae.data.image_file import SUFFIXES, stays_inside
from spae.data.issues import Report, reported
from spae.data.spec import DataSpec
from spae.errors import DataError

TRAIN = ("train", "training")
HELD_OUT = ("val", "validation", "valid", "validate", "test")
HOMES = (".", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
SOLUTION = "LOC_val_solution.csv"


def class_folders(root: Path, suffixes: Collection[str], report: Report | None = None) -> dict[str, NameTable]:
    """Folder name -> paths below the root, both sorted. Hidden entries and other files are ignored.

    Args:
        root: the folder of class folders.
        suffixes: of the files that count, lower case.
        report: called with every issue, whose folder is left out; None raises the first.

    Raises:
        DataError: a folder cannot be listed; without `report`, also one that is empty or a link that leads out.
    """
    found = {}
    for name in _folders(root):
        with reported(report, shown_name(name)):
            paths = NameTable(_files_of_class(root, name, suffixes))
            if not len(paths):
                listed = ", ".join(sorted(suffixes))
                raise DataError(f"class folder {name!r} of {root} holds no file ({listed}): add some or remove it")
            found[name] = paths
    return found


def every_file(root: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Paths of all files below the root and its class folders, those of the root itself first."""
    yield from _files(root, "", suffixes)
    for name in _folders(root):
        yield from _files_of_class(root, name, suffixes)


def folder_samples(path: Path, report: Report | None = None) -> FileSamples:
    """The images of a folder of class folders, every name checked.

    Args:
        path: the folder.
        report: called with every issue, whose file is left out; None raises the first.

    Raises:
        DataError: no such folder; without `report`, also a file or folder that cannot be used.
    """
    if not path.is_dir():
        raise DataError(f"no folder or csv at {path}: check the path")
    with _scan(path) as entries:
        dead = [one.name for one in entries if not one.name.startswith(".") and not os.path.exists(one.path)]
    for name in sorted(dead):
        with reported(report, shown_name(name)):
            raise DataError(f"{path / name} is a link to nothing: correct it or remove it")
    found: dict[str, NameTable] = {}
    with reported(report, "."):
        for label, names in class_folders(path, SUFFIXES, report).items():
            with reported(report, shown_name(label)):
                _check_name(label, path)
                found[label] = NameTable(name for name in names if _usable(path, name, report))
        tables = sorted(path.glob("*.csv"))
        if list(found) == ["images"] and tables:
            raise DataError(f"{path} holds images/ and a csv, not class folders: give the csv itself ({tables[0]})")
    return FileSamples.of(path, found, location=path)


def open_folder(
    spec: DataSpec, exclude: Path | None, corrupt_files_list: Path | None, suffixes: Collection[str] = SUFFIXES
) -> SampleSource:
    """Lists the files to train on; none is opened.

    Args:
        spec: options `classes` (file of names), `val` (folder to hold out), `labels=none` (one class, any layout). The
            location may also be a csv, as `csv_samples` reads it.
        exclude: file of classes to leave out.
        corrupt_files_list: file that corrupt files are listed in.
        suffixes: of the files that count.

    Raises:
        DataError: no such folder, no class, a class that cannot be named or is a link that leads out.
    """
    spec.only("classes", "val", "labels")
    given, held = Path(spec.location), spec.path("val")
    if given.suffix.lower() == ".csv" and given.is_file():
        part, aside = csv_samples(given), csv_samples(held) if held is not None else None
        names = find_class_text(spec.path("classes"), (given.parent,))
        return training_source(spec.text, part, aside, names, exclude, corrupt_files_list)
    if not given.is_dir():
        raise DataError(f"no folder at {given}: check the path")
    home = next((given / one for one in HOMES if any((given / one / name).is_dir() for name in TRAIN)), given)
    train = next((home / name for name in TRAIN if (home / name).is_dir()), home)
    if held is not None and not held.is_dir():
        raise DataError(f"val={held} is no folder: check the path")
    if held is None and train != home:
        held = next((home / name for name in HELD_OUT if (home / name).is_dir()), None)
    beside = (given, home, given.parent)
    labelled = spec.options.get("labels") != "none"
    part = _split(train, suffixes, labelled, beside=())
    aside = _split(held, suffixes, labelled, beside=(held, *beside)) if held is not None else None
    names = find_class_text(spec.path("classes"), beside)
    return training_source(spec.text, part, aside, names, exclude, corrupt_files_list)


def _split(root: Path, suffixes: Collection[str], labelled: bool, beside: tuple[Path, ...]) -> FileSamples:
    """One split: class folders; all files as one class; or a flat folder whose labels a csv in `beside` holds."""
    if labelled:
        found = class_folders(root, suffixes) or _flat(root, suffixes, beside)
    else:
        found = {UNLABELLED: NameTable(every_file(root, suffixes))}
    return FileSamples.of(root, found, location=root)


def _flat(root: Path, suffixes: Collection[str], beside: tuple[Path, ...]) -> dict[str, NameTable]:
    """Label -> files of a flat validation folder, by lines `ILSVRC2012_val_00048981,n03995372 85 1 499 272`."""
    loose = list(_files(root, "", suffixes))
    if not loose:
        return {}
    table = next((folder / SOLUTION for folder in beside if (folder / SOLUTION).is_file()), None)
    if table is None:
        raise DataError(f"{root} holds files but no class folders: give ?labels=none, or for ImageNet {SOLUTION}")
    label_of = {row["ImageId"]: row["PredictionString"] for _, row in csv_rows(table, ("ImageId", "PredictionString"))}
    by_label: dict[str, list[str]] = {}
    for path in loose:
        label = (label_of.get(path.rpartition(".")[0]) or "").split()
        if not label:
            raise DataError(f"{root / path} has no line with a label in {table}: add it or remove the file")
        by_label.setdefault(label[0], []).append(path)
    return {label: NameTable(by_label[label]) for label in sorted(by_label)}


def _files_of_class(root: Path, name: str, suffixes: Collection[str]) -> Iterator[str]:
    if (root / name).is_symlink() and not stays_inside(root / name, root):
        raise DataError(f"class folder {name!r} of {root} is a link that leads out of it: copy the images in")
    return _files(root / name, name + "/", suffixes)


def _files(folder: Path, before: str, suffixes: Collection[str]) -> Iterator[str]:
    """Names of files with these suffixes, sorted, without the hidden ones that systems leave behind."""
    with _scan(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if not entry.name.startswith(".")
            and os.path.splitext(entry.name)[1].lower() in suffixes
            and not _is_folder(entry)
        ]
    return (before + name for name in sorted(names))


def _folders(root: Path) -> list[str]:
    with _scan(root) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _scan(folder: Path) -> os._ScandirContextManager[os.DirEntry[str]]:  # type: ignore[name-defined]
    try:
        return os.scandir(folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror}): check its permissions") from error


def _usable(root: Path, name: str, report: Report | None) -> bool:
    """Whether a file may be an id of an evaluation set; an issue where it may not."""
    with reported(report, shown_name(name)):
        _check_name(name, root)
        if not (root / name).exists():
            raise DataError(f"{root / name} is a link to nothing: correct it or remove it")
        if not stays_inside(root / name, root):
            raise DataError(f"{root / name} leads out of {root}: copy the images in, links must stay inside")
        return True
    return False


def _check_name(name: str, root: Path) -> None:
    """Raises DataError for a name that cannot stand in a prompt: line breaks, control characters, broken encoding."""
    if not name.isprintable():
        raise DataError(f"{root} has a name with unprintable characters ({name!a}): rename it")
