"""Videos to train on: class folders of them, or the csv of Kinetics beside a folder of them.

kinetics/train/riding_a_bike/abc_000010_000020.mp4     as `image_folder` reads images
kinetics/train/abcdefghijk_000010_000020.mp4           with train.csv in kinetics/ or kinetics/annotations/:
                                                       label,youtube_id,time_start,time_end,split
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spae.data.class_names import find_class_text
from spae.data.datasets.csv_table import csv_rows
from spae.data.datasets.image_folder import HELD_OUT, TRAIN, every_file, open_folder
from spae.data.datasets.sample_source import SampleSource, training_source
from spae.data.datasets.samples import FileSamples, NameTable
from spae.data.datasets.video_file import VIDEO_SUFFIXES, video_library
from spae.data.spec import DataSpec
from spae.errors import DataError


def open_video(spec: DataSpec, exclude: Path | None, corrupt_files_list: Path | None) -> SampleSource:
    """Lists the files; none is opened.

    Args:
        spec: options `csv` and `valcsv` (annotations), else those of `open_folder`; `stride` is the loader's.
        exclude: file of classes to leave out.
        corrupt_files_list: file that corrupt files are listed in.

    Raises:
        InputError: `av` is not installed.
        DataError: no such folder, no class, a csv that does not fit.
    """
    video_library()
    spec.only("classes", "val", "labels", "csv", "valcsv", "stride")
    given = Path(spec.location)
    if not given.is_dir():
        raise DataError(f"no folder at {given}: check the path")
    train = next((given / name for name in TRAIN if (given / name).is_dir()), given)
    table = spec.path("csv") or _table(given, TRAIN)
    if table is None or (spec.path("csv") is None and any(_holds_videos(one) for one in _subfolders(train))):
        rest = {name: value for name, value in spec.options.items() if name not in ("stride", "csv", "valcsv")}
        return open_folder(replace(spec, options=rest), exclude, corrupt_files_list, VIDEO_SUFFIXES)
    part, absent = kinetics_samples(train, table)
    if not len(part):
        raise DataError(f"none of the videos that {table} lists is in {train}: check the path")
    held = None
    aside = spec.path("val") or next((given / name for name in HELD_OUT if (given / name).is_dir()), None)
    if aside is not None:
        other = spec.path("valcsv") or _table(given, HELD_OUT)
        if other is None:
            raise DataError(f"{aside} is held out but has no csv of labels: name it by ?valcsv=FILE")
        held, missing = kinetics_samples(aside, other)
        absent += missing
    note = f"; {absent:,} videos that the csv lists are missing" if absent else ""
    names = find_class_text(spec.path("classes"), ())
    return training_source(spec.text, part, held, names, exclude, corrupt_files_list, note)


def kinetics_samples(root: Path, table: Path) -> tuple[FileSamples, int]:
    """The files of a folder by the labels of a csv, and how many of its lines have no file.

    Names come from the folder's listing, so that none of the csv leads out of it.

    Raises:
        DataError: the csv does not read, or a line of it lacks a label or an id.
    """
    there = {name.rpartition(".")[0]: name for name in every_file(root, VIDEO_SUFFIXES)}
    by_label: dict[str, set[str]] = {}
    absent = 0
    for line, row in csv_rows(table, ("label", "youtube_id")):
        label, video = row["label"], row["youtube_id"]
        if not label or not video or not label.isprintable():
            raise DataError(f"{table} line {line} has no printable label or no youtube_id: complete it")
        name = next((there[stem] for stem in _stems(row, video) if stem in there), None)
        if name is None:
            absent += 1
        else:
            by_label.setdefault(label, set()).add(name)
    found = {label: NameTable(sorted(by_label[label])) for label in sorted(by_label)}
    return FileSamples.of(root, found, location=root), absent


def _subfolders(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]


def _holds_videos(folder: Path) -> bool:
    return folder.name not in HELD_OUT and any(entry.suffix.lower() in VIDEO_SUFFIXES for entry in folder.iterdir())


def _table(root: Path, parts: tuple[str, ...]) -> Path | None:
    """The csv of a part: train.csv, kinetics-600_train.csv and the like."""
    for folder in (root, root / "annotations"):
        for part in parts:
            found = sorted(folder.glob(f"{part}.csv")) or sorted(folder.glob(f"*[-_]{part}.csv"))
            if found:
                return found[0]
    return None


def _stems(row: dict[str, str], video: str) -> tuple[str, ...]:
    """How downloaders name the file of a line: id_START_END in six digits each, or the id alone."""
    start, end = row.get("time_start") or "", row.get("time_end") or ""
    if start.isascii() and end.isascii() and start.isdigit() and end.isdigit():
        return (f"{video}_{int(start):06d}_{int(end):06d}", video)
    return (video,)
