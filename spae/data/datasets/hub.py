"""Hugging Face data sets and parquet files: an image and a label column, found or named; any row at once.

    hf:timm/mini-imagenet?split=test      by name, fetched once
    hf:cifar100:default?label=fine_label  name:configuration
    hf:/data/saved                        a folder of `save_to_disk`, or of parquet files or class folders
    hf:/data/train.parquet

The package `datasets` is needed (extra: data). Images are decoded by `spae.data.image_file`, with its limits.

N rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from spae.data.class_names import ClassText, find_class_text
from spae.data.datasets.hub_columns import Columns, cell_content, connection_errors, find_columns, hub_library
from spae.data.datasets.sample_source import SampleSource, training_source
from spae.data.datasets.samples import UNLABELLED, LabelledSamples
from spae.data.issues import Report, reported
from spae.data.spec import DataSpec
from spae.errors import DataError
from spae.regular_file import check_folder, check_regular

TRAINING_OPTIONS = ("split", "val", "image", "label", "classes", "streaming", "block")
HELD_OUT = ("validation", "val", "valid", "test")
EVALUATED = ("test", "validation", "val", "valid", "train")
"""An evaluation takes the first of these splits that exists, unless `?split=` names one."""


@dataclass(frozen=True, kw_only=True)
class HubSamples(LabelledSamples):
    """The rows of one split.

    Attributes:
        split: its name.
        rows: the data set, images not decoded.
        columns: its image and label columns.
        homes: folders that a path in a cell may lead into.
    """

    layout = "expected an image and a label in each row"

    split: str
    rows: Any
    columns: Columns
    homes: tuple[Path, ...]

    def name(self, number: int) -> str:
        """Split and row: `test/17`."""
        return f"{self.split}/{number}"

    def content(self, number: int) -> Path | BytesIO:
        """The cell's bytes or file."""
        return cell_content(self.rows[int(number)][self.columns.image], self.name(number), self.homes)

    def names_digest(self) -> bytes:
        """The library's own fingerprint of the split, and the columns."""
        return repr((getattr(self.rows, "_fingerprint", len(self.rows)), self.columns)).encode()


def hub_samples(spec: DataSpec, report: Report | None = None) -> HubSamples:
    """The split that an evaluation takes.

    Args:
        spec: options `split`, `image`, `label`, `classes`.
        report: called with every row without a usable label; None raises the first.

    Raises:
        DataError: the set cannot be loaded, or lacks the split or a column.
        InputError: `datasets` is not installed.
    """
    spec.only("split", "image", "label", "classes")
    splits = load_splits(spec, streaming=False)
    name = spec.options.get("split") or next((one for one in EVALUATED if one in splits), next(iter(splits)))
    if name not in splits:
        raise DataError(f"{spec.text} has no split {name!r}: name one by ?split=, of {', '.join(splits)}")
    columns = find_columns(spec, splits[name].features)
    if not columns.label:
        raise DataError(f"{spec.text}: few-shot needs labels: name their column by ?label=COLUMN")
    return _samples(spec, name, splits[name], columns, report)


def open_hub(spec: DataSpec, exclude: Path | None, corrupt_files_list: Path | None) -> SampleSource:
    """Loads or fetches a set to train on.

    Args:
        spec: options `split` (train), `val` (split to hold out), `image`, `label`, `classes`.
        exclude: file of classes to leave out.
        corrupt_files_list: file that corrupt files are listed in.

    Raises:
        InputError: `datasets` is not installed.
        DataError: the set cannot be loaded, or lacks a split, a column or labels.
    """
    spec.only(*TRAINING_OPTIONS)
    splits = load_splits(spec, streaming=False)
    train, held = choose_splits(spec, splits)
    columns = find_columns(spec, splits[train].features)
    part = _samples(spec, train, splits[train], columns)
    aside = _samples(spec, held, splits[held], columns) if held else None
    return training_source(spec.text, part, aside, class_text(spec), exclude, corrupt_files_list)


def _samples(spec: DataSpec, split: str, rows: Any, columns: Columns, report: Report | None = None) -> HubSamples:
    rows = undecoded(rows, columns)
    labels, codes = _labels(spec, split, rows, columns, report)
    local = Path(spec.location)
    return HubSamples(
        title=f"{spec.location}, split {split}",
        location=f"{spec.text} split {split}",
        home=local if local.is_dir() else local.parent,
        file=split,
        labels=labels,
        codes=codes,
        numbered=bool(columns.names),
        split=split,
        rows=rows,
        columns=columns,
        homes=homes(spec),
    )


def _labels(
    spec: DataSpec, split: str, rows: Any, columns: Columns, report: Report | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Labels as text, and [N] int32 codes. Numbers are in numeric order."""
    if not columns.label:
        return (UNLABELLED,), np.zeros(len(rows), dtype=np.int32)
    values = rows[columns.label][:]
    classes = len(columns.names)
    place: dict[Any, int] = {number: number for number in range(classes)}
    if not classes:
        found = {value for value in values if _is_label(value)}
        ordered = sorted(found, key=lambda value: (isinstance(value, str), value))
        place = {value: number for number, value in enumerate(ordered)}
    codes = np.array([place.get(value, -1) if _is_label(value) else -1 for value in values], dtype=np.int32)
    for row in np.flatnonzero(codes < 0).tolist():
        with reported(report, f"{split}/{row}", columns.label):
            wanted = f"one of the {classes} classes" if classes else "a number or printable text"
            seen = ascii(values[row])[:80]
            raise DataError(
                f"the label of row {split}/{row} of {spec.text} must be {wanted}, got {seen}: remove the row"
            )
    return columns.names or tuple(map(str, place)), codes


def _is_label(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip()) and value.isprintable()
    return isinstance(value, int) and not isinstance(value, bool)


def load_splits(spec: DataSpec, streaming: bool) -> Mapping[str, Any]:
    """All splits by name. Raises DataError."""
    library = hub_library()
    import pyarrow

    path, _, config = spec.location.partition(":")
    local = Path(spec.location)
    kind = {".parquet": "parquet", ".arrow": "arrow"}.get(local.suffix)
    if local.is_file() and kind is None:
        raise DataError(f"{spec.text} is a file that is neither .parquet nor .arrow: give a folder or a name")
    try:
        if local.exists():
            check_folder(local) if local.is_dir() else check_regular(local)
        if local.is_dir() and any((local / name).exists() for name in ("dataset_info.json", "dataset_dict.json")):
            found = library.load_from_disk(str(local))
            if streaming:
                found = found if isinstance(found, Mapping) else {str(found.split or "train"): found}
                found = {name: part.to_iterable_dataset(num_shards=_shards(part)) for name, part in found.items()}
        elif local.is_file():
            found = library.load_dataset(kind, data_files=str(local), streaming=streaming)
        elif local.exists():
            found = library.load_dataset(str(local), streaming=streaming)
        else:
            found = library.load_dataset(path, config or None, streaming=streaming)
    except (
        *connection_errors(), library.exceptions.DatasetsError, pyarrow.ArrowException, EOFError, ValueError, TypeError,
        LookupError, AttributeError, RuntimeError, ImportError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(f"{spec.text} cannot be loaded ({reason}): check name or path, and the connection") from error
    return found if isinstance(found, Mapping) else {str(found.split or "train"): found}


def _shards(part: Any) -> int:
    """Of a saved set that is streamed: several, so that their order can be shuffled."""
    return max(1, min(64, len(part) // 1000))


def choose_splits(spec: DataSpec, splits: Mapping[str, Any]) -> tuple[str, str]:
    """Names of the split to train on and of the one to hold out ("": none). Raises DataError."""
    train = spec.options.get("split", "train" if "train" in splits or len(splits) != 1 else next(iter(splits)))
    held = spec.options.get("val", next((name for name in HELD_OUT if name in splits and name != train), ""))
    for option, name in (("split", train), ("val", held)):
        if name and name not in splits:
            raise DataError(f"{spec.text} has no split {name!r}: name one by ?{option}=, of {', '.join(splits)}")
    if train == held:
        raise DataError(f"{spec.text}: split and val are both {train!r}: hold out another, of {', '.join(splits)}")
    return train, held


def undecoded(part: Any, columns: Columns) -> Any:
    """The two columns, images as bytes or paths."""
    library = hub_library()
    part = part.select_columns([name for name in (columns.image, columns.label) if name])
    if isinstance(part.features[columns.image], library.Image):
        part = part.cast_column(columns.image, library.Image(decode=False))
    return part


def homes(spec: DataSpec) -> tuple[Path, ...]:
    """The folders that rows may name files in: the user's own, else the caches of the libraries."""
    local = Path(spec.location)
    if local.exists():
        return ((local if local.is_dir() else local.parent).resolve(),)
    library = hub_library()
    from huggingface_hub import constants

    return tuple(Path(one).resolve() for one in (library.config.HF_DATASETS_CACHE, constants.HF_HUB_CACHE))


def class_text(spec: DataSpec) -> ClassText:
    """Text of the classes: the user's file, or one beside local data."""
    local = Path(spec.location)
    beside = (local, local.parent) if local.exists() else ()
    return find_class_text(spec.path("classes"), beside)
