"""What lies behind a path, or a name of the hub, that a user gives: which kind of set, and its options.

photos/                   class folders                    miniimagenet/test.csv   filename,label beside images/
open_ended_mi.tar.gz      a published few-shot archive     hf:OWNER/NAME           a Hugging Face data set
any of them?classes=FILE  a file of class names
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from spae.data.protocol import ImageSet
from spae.data.spec import DataSpec, parse_data_spec

Kind = Literal["folder", "archive", "hub"]
HUB = "hf:"


def kind_of(text: str) -> tuple[Kind, DataSpec]:
    """The kind of a set, and what the user said of it; looks at names alone.

    Raises:
        InputError: an option is given twice, or a set of this kind has none of that name.
    """
    if text.startswith(HUB):
        return "hub", parse_data_spec(text)
    # A path may hold a colon: whatever stands before the options is one path.
    spec = replace(parse_data_spec(f"path:{text}"), text=text)
    path = Path(spec.location)
    from spae.data.archives.few_shot import is_archive

    if is_hub_folder(path):
        return "hub", spec
    spec.only("classes")
    return ("archive" if is_archive(path) else "folder"), spec


def open_user_set(text: str) -> ImageSet:
    """The set.

    Raises:
        DataError: it cannot be used.
        InputError: an option is wrong, or a package that its kind needs is not installed.
    """
    kind, spec = kind_of(text)
    if kind == "hub":
        from spae.data.datasets.hub_set import HubSet

        return HubSet(spec, text)
    if kind == "archive":
        from spae.data.archives.archive_set import ArchiveSet

        return ArchiveSet(Path(spec.location), text, spec.path("classes"))
    from spae.data.datasets.image_folder import FolderSet

    return FolderSet(Path(spec.location), text, spec.path("classes"))


def is_hub_folder(path: Path) -> bool:
    """Whether a path is what `datasets` wrote: a saved set, or parquet files."""
    if path.is_file():
        return path.suffix.lower() in (".parquet", ".arrow")
    marks = ("dataset_info.json", "dataset_dict.json", "*.parquet", "data/*.parquet")
    return path.is_dir() and any(any(path.glob(mark)) for mark in marks)
