"""Images as users name them on a command line: files, and folders of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from spae.data.image_file import SUFFIXES
from spae.errors import DataError


def image_paths(named: Iterable[Path]) -> tuple[list[Path], list[DataError]]:
    """Every image file that is meant, in order, and what is wrong with the rest.

    A file is taken as named, whatever it ends in. Of a folder, all images in it and in its folders are taken by name;
    hidden entries and other files are passed over.

    Returns: paths, each once; and an error for each name that leads to no image.
    """
    found: dict[Path, None] = {}
    wrong: list[DataError] = []
    for path in named:
        if not path.exists():
            wrong.append(DataError(f"there is no image or folder {path}: check the path"))
            continue
        if not path.is_dir():
            found[path] = None
            continue
        inside = [file for file in _files(path, wrong) if file.suffix.lower() in SUFFIXES]
        if not inside:
            wrong.append(DataError(f"folder {path} holds no image ({', '.join(sorted(SUFFIXES))}): name another"))
        found.update(dict.fromkeys(inside))
    return list(found), wrong


def _files(root: Path, wrong: list[DataError]) -> list[Path]:
    """All files below a folder, sorted. Folders behind links are not entered, and files behind links stay inside."""
    files = []
    for path in sorted(root.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(root).parts) or path.is_dir():
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            wrong.append(DataError(f"{path} leads out of {root}: copy the image in, links must stay inside"))
            continue
        files.append(path)
    return files
