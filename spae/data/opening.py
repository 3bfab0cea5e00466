"""Opens what follows `--data`: the name of an embedded set, a path, or a name on the Hugging Face hub.

photos/                   class folders                    miniimagenet/test.csv   filename,label beside images/
open_ended_mi.tar.gz      a published few-shot archive     hf:OWNER/NAME           a Hugging Face data set
webdataset:test-*.tar     WebDataset shards                mnist:FOLDER            the four IDX files of MNIST
test/                     COCO-QA's text files
captions_val2014.json     COCO captions                    labelled images may end in ?classes=FILE, a file of names

Modules of formats are imported when one of their kind is opened.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from spae.data.annotations.annotated import AnnotatedSet
from spae.data.issues import Report
from spae.data.protocol import ImageSet
from spae.data.registry import SETS
from spae.data.spec import DataSpec, parse_data_spec
from spae.errors import DataError, UnknownName
from spae.near_paths import no_path

if TYPE_CHECKING:
    from spae.data.datasets.samples import LabelledSamples

Kind = Literal["folder", "csv", "shards", "archive", "hub"]
SCHEMES = ("hf:", "webdataset:")
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
    if spec.startswith("mnist:"):
        from spae.data.embedded.mnist import MnistSet

        return MnistSet(Path(spec.removeprefix("mnist:")))
    path = Path(spec.partition("?")[0])
    # What can only be a path goes to the reader, whose message says which path is missing.
    is_path = os.path.exists(path) or "/" in spec or "\\" in spec or path.suffix.lower() in FILES
    if spec and (is_path or spec.startswith(SCHEMES)):
        return open_labelled(spec)
    raise UnknownName(
        "data set (a name, the path of a folder of class folders, of a csv or of an archive, hf:NAME, "
        "webdataset:PATTERN or mnist:FOLDER)", spec, SETS,
    )  # fmt: skip


def check_data_path(spec: str) -> None:
    """Refuse a name or path that `open_set` could not open, before anything costly is imported.

    Raises:
        UnknownName: neither a name nor a path.
        DataError: there is nothing at the path.
    """
    where = spec.removeprefix("mnist:").partition("?")[0]
    if spec in SETS or spec.startswith(SCHEMES) or os.path.exists(where):
        return
    if "/" in spec or "\\" in spec or Path(where).suffix.lower() in FILES:
        raise DataError(f"{no_path(Path(where))}: check --data")
    raise UnknownName("data set (a name or a path)", spec, SETS)


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
    """The format of a user's labelled images, and its options; looks at names alone.

    Raises:
        InputError: an option is given twice, or this format has none of that name.
    """
    if text.startswith(SCHEMES):
        spec = parse_data_spec(text)
        return ("hub" if spec.scheme == "hf" else "shards"), spec
    # A path may hold a colon: whatever stands before the options is one path.
    spec = replace(parse_data_spec(f"path:{text}"), text=text)
    path = Path(spec.location)
    from spae.data.archives.few_shot import is_archive

    if is_hub_folder(path):
        return "hub", spec
    spec.only("classes")
    if is_archive(path):
        return "archive", spec
    return ("csv" if path.is_file() else "folder"), spec


def read_samples(kind: Kind, spec: DataSpec, report: Report | None = None) -> LabelledSamples:
    """The labelled images of any format but an archive.

    Args:
        kind: the format.
        spec: location and options.
        report: called with every issue, whose sample is left out; None raises the first.

    Raises:
        DataError: there is nothing to read; without `report`, also the first issue.
        InputError: an option is wrong, or a package that the format needs is not installed.
    """
    if kind == "hub":
        from spae.data.datasets.hub import hub_samples

        return hub_samples(spec, report)
    if kind == "shards":
        from spae.data.datasets.webdataset import shard_samples

        spec.only("classes", "labels")
        return shard_samples(spec, spec.location)
    if kind == "csv":
        from spae.data.datasets.csv_table import csv_samples

        return csv_samples(Path(spec.location), report)
    from spae.data.datasets.image_folder import folder_samples

    return folder_samples(Path(spec.location), report)


def open_labelled(text: str) -> ImageSet:
    """The labelled images at a path or of a name on the hub.

    Raises:
        DataError: they cannot be used.
        InputError: an option is wrong, or a package that the format needs is not installed.
    """
    kind, spec = kind_of(text)
    if kind == "archive":
        from spae.data.archives.archive_set import ArchiveSet

        return ArchiveSet(Path(spec.location), text, spec.path("classes"))
    from spae.data.datasets.sample_set import SampleSet

    return SampleSet(read_samples(kind, spec), text, spec.path("classes"))


def is_hub_folder(path: Path) -> bool:
    """Whether a path is what `datasets` wrote: a saved set, or parquet files."""
    if path.is_file():
        return path.suffix.lower() in (".parquet", ".arrow")
    marks = ("dataset_info.json", "dataset_dict.json", "*.parquet", "data/*.parquet")
    return path.is_dir() and any(any(path.glob(mark)) for mark in marks)
