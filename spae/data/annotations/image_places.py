"""Where the images lie that an annotation file names: beside it, in one of the usual folders, never outside it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from spae.data.image_file import SUFFIXES
from spae.errors import DataError

SPLITS = ("train2014", "val2014", "test2014", "test2015", "train2017", "val2017", "test2017")
_NUMBER = re.compile(r"(\d+)$", re.ASCII)


def usual_folders(home: Path, split: str = "") -> list[Path]:
    """Folders beside an annotation file that images are usually kept in, most likely first; those that exist.

    Args:
        home: the annotation file's folder.
        split: what the file's name says the images' folder is called ("val2014"); "" where it does not.
    """
    names = [split] if split else list(SPLITS)
    found: list[Path] = []
    for base in (home, home.parent):
        tried = [*(base / name for name in names), *(base / "images" / name for name in names), base / "images", base]
        found.extend(folder for folder in tried if folder.is_dir() and folder not in found)
    return found


def is_inside_name(name: str) -> bool:
    """Whether a file name of an annotation file stays below the folder it is looked up in, whatever the system."""
    parts = PurePosixPath(name.replace("\\", "/"))
    plain = bool(name.strip()) and name.isprintable() and ":" not in parts.parts[0]
    return plain and not parts.is_absolute() and ".." not in parts.parts


def file_inside(folder: Path, name: str) -> Path | None:
    """The file of that name below the folder; None where there is none.

    Raises:
        DataError: the name, or a link behind it, leads out of the folder.
    """
    if not is_inside_name(name):
        raise DataError(f"an image's name must stay inside {folder}, got {name!a}: correct it")
    path = folder / name
    try:
        if not path.is_file():
            return None
        if not path.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{path} leads out of {folder}: copy the image in, links must stay inside")
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path} cannot be followed ({error}): mend the link or take it out") from error
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
