"""Opens what follows `--data`: the name of an embedded set, a path, or a name on the Hugging Face hub.

photos/                   class folders                    miniimagenet/test.csv   filename,label beside images/
open_ended_mi.tar.gz      a published few-shot archive     hf:OWNER/NAME           a Hugging Face data set
captions_val2014.json     COCO captions                    test/                   COCO-QA's text files
any of the first four?classes=FILE  a file of class names

Modules of formats are imported when one of their kind is opened.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

from spae.data.annotations.annotated import AnnotatedSet
from spae.data.protocol import ImageSet
from spae.data.registry import SETS
from spae.data.spec import DataSpec, parse_data_spec
from spae.errors import DataError, UnknownName

Kind = Literal["folder", "archive", "hub"]
HUB = "hf:"
FILES = (".csv", ".tar", ".tgz", ".gz", ".parquet")
"""Endings of names that can only be paths."""


def open_set(spec: str) -> ImageSet:
    """Opens a set by its name or by a path.

    A registered name wins over a folder of that name; write `./mnist` for the folder.

    Raises:
        UnknownName: neither a name nor an existing path.
        DataError: the set cannot be used.
    """
    if spec in SETS:
        module, _, attribute = SETS[spec].target.partition(":")
        factory = cast("Callable[[], ImageSet]", getattr(importlib.import_module(module), attribute))
        return factory()
    path = Path(spec.partition("?")[0])
    # What can only be a path goes to the reader, whose message says which path is missing.
    is_path = os.path.exists(path) or "/" in spec or "\\" in spec or path.suffix.lower() in FILES
    if spec and (is_path or spec.startswith("hf:")):
        return open_user_set(spec)
    raise UnknownName("data set (a name, or the path of a folder of class folders or of a csv)", spec, SETS)


def open_captions(text: str) -> AnnotatedSet:
    """Images with captions, by the name of an embedded set or by a path as `caption_files` takes it.

    Raises:
        DataError: as `CocoCaptions`; or the set has no captions.
        UnknownName: neither a name nor an existing path.
    """
    from spae.data.annotations.coco_captions import PATTERN, CocoCaptions, caption_files

    path = Path(text)
    if text not in SETS and (path.is_dir() or path.suffix.lower() == ".json"):
        return CocoCaptions(*caption_files(path), name=text)
    data = open_set(text)
    if not isinstance(data, AnnotatedSet) or not any(one.captions for one in data.annotations.values()):
        raise DataError(f"{text!r} has no captions: --data scenes, or the path of a {PATTERN} beside its images")
    return data


def open_coco_qa(text: str) -> AnnotatedSet:
    """Images with questions, by the name of an embedded set or by a path as `question_files` takes it.

    Raises:
        DataError: as `CocoQaSet`; or the set has no questions.
        UnknownName: neither a name nor an existing path.
    """
    from spae.data.annotations.coco_qa import CocoQaSet, question_files

    path = Path(text)
    if text not in SETS and path.exists():
        return CocoQaSet(*question_files(path), name=text)
    data = open_set(text)
    if not isinstance(data, AnnotatedSet) or not any(one.questions for one in data.annotations.values()):
        raise DataError(f"{text!r} has no questions: --data scenes, or the path of COCO-QA's folder")
    return data


def open_vqa(text: str) -> AnnotatedSet:
    """What follows `--data` of a task that asks questions: the name of a set with questions, or an archive's path.

    Raises:
        UnknownName, DataError: neither, a set without questions, or a broken archive.
    """
    if text in SETS or not Path(text).exists():
        data = open_set(text)
        if isinstance(data, AnnotatedSet) and any(one.questions for one in data.annotations.values()):
            return data
        raise DataError(f"{text} has no questions about its images: pass --data scenes, or the path of an archive")
    from spae.data.archives.vqa import VqaArchive

    return VqaArchive(Path(text), text)


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
