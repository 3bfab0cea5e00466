"""Clips to train on: class folders of videos, or Kinetics' csv beside a folder of them.

kinetics/train/riding_a_bike/abc_000010_000020.mp4     as `training_folder` reads images
kinetics/train/abcdefghijk_000010_000020.mp4           with train.csv in kinetics/ or kinetics/annotations/:
                                                       label,youtube_id,time_start,time_end,split
"""

from __future__ import annotations

import csv
from pathlib import Path

from spae.data.class_names import find_class_text
from spae.data.datasets.sample_source import NameTable
from spae.data.datasets.training_folder import HELD_OUT, TRAIN, FolderSamples, Lister, Listing, open_folder
from spae.data.datasets.video_file import CLIP_SUFFIXES, clip_library
from spae.data.exclusion import keep_classes
from spae.data.spec import DataSpec
from spae.errors import DataError

COLUMNS = ("label", "youtube_id")


def open_video(spec: DataSpec, exclude: Path | None, corrupt_files_list: Path | None) -> FolderSamples:
    """Lists the files; none is opened.

    Args:
        spec: options `csv` and `valcsv` (annotations), else those of `open_folder`; `stride` is the loader's.
        exclude: file of classes to leave out.

    Raises:
        InputError: `av` is not installed.
        DataError: no such folder, no class, a csv that does not fit.
    """
    clip_library()
    spec.only("classes", "val", "labels", "csv", "valcsv", "stride")
    given = Path(spec.location)
    if not given.is_dir():
        raise DataError(f"no folder at {given}: check the path")
    train = next((given / name for name in TRAIN if (given / name).is_dir()), given)
    table = spec.path("csv") or _table(given, TRAIN)
    if table is None or (spec.path("csv") is None and any(_holds_clips(one) for one in _subfolders(train))):
        rest = {name: value for name, value in spec.options.items() if name not in ("stride", "csv", "valcsv")}
        return open_folder(
            DataSpec(spec.text, spec.scheme, spec.location, rest), exclude, corrupt_files_list, CLIP_SUFFIXES
        )
    found, absent = _listed(train, table)
    if not found:
        raise DataError(f"none of the clips that {table} lists is in {train}: check the path")
    labels = list(found)
    kept = keep_classes(labels, find_class_text(spec.path("classes"), ()), exclude, str(given))
    listing = Listing()
    listing.add(0, found, labels, kept)
    aside = spec.path("val") or next((given / name for name in HELD_OUT if (given / name).is_dir()), None)
    roots: tuple[Path, ...] = (train,)
    foreign = 0
    if aside is not None:
        other = spec.path("valcsv") or _table(given, HELD_OUT)
        if other is None:
            raise DataError(f"{aside} is held out but no csv tells its labels: name it by ?valcsv=FILE")
        held, missing = _listed(aside, other)
        listing.add(1, {label: paths for label, paths in held.items() if label in found}, labels, kept)
        roots, foreign, absent = (train, aside), sum(label not in found for label in held), absent + missing
    note = f"; {absent:,} clips that the csv lists are not there" if absent else ""
    return listing.source(spec.text, kept, roots, foreign, corrupt_files_list, note)


def _subfolders(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]


def _holds_clips(folder: Path) -> bool:
    return folder.name not in HELD_OUT and any(entry.suffix.lower() in CLIP_SUFFIXES for entry in folder.iterdir())


def _table(root: Path, parts: tuple[str, ...]) -> Path | None:
    """The csv of a part: train.csv, kinetics-600_train.csv and the like."""
    for folder in (root, root / "annotations"):
        for part in parts:
            found = sorted(folder.glob(f"{part}.csv")) or sorted(folder.glob(f"*[-_]{part}.csv"))
            if found:
                return found[0]
    return None


def _listed(root: Path, table: Path) -> tuple[dict[str, NameTable], int]:
    """Label -> files of the folder, sorted; and how many lines have no file. Names come from the folder's listing."""
    there = {name.rpartition(".")[0]: name for name in Lister(CLIP_SUFFIXES, labelled=False).names(root)}
    by_label: dict[str, list[str]] = {}
    absent = 0
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise DataError(
                    f"{table} has the columns {reader.fieldnames}, expected label,youtube_id,...: name them so"
                )
            for row in reader:
                label, video = row["label"], row["youtube_id"]
                if not label or not video or not label.isprintable():
                    raise DataError(
                        f"{table} line {reader.line_num} has no printable label or no youtube_id: complete it"
                    )
                name = next((there[stem] for stem in _stems(row, video) if stem in there), None)
                absent += name is None
                if name is not None:
                    by_label.setdefault(label, []).append(name)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{table} does not read as a UTF-8 csv ({error}): save it so") from error
    return {label: NameTable(sorted(set(by_label[label]))) for label in sorted(by_label)}, absent


def _stems(row: dict[str, str], video: str) -> tuple[str, ...]:
    """How downloaders name the file of a line: id_START_END in six digits each, or the id alone."""
    start, end = row.get("time_start") or "", row.get("time_end") or ""
    if start.isascii() and end.isascii() and start.isdigit() and end.isdigit():
        return (f"{video}_{int(start):06d}_{int(end):06d}", video)
    return (video,)
