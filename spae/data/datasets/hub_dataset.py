"""A Hugging Face data set, or parquet files, as rows to train on: memory-mapped, any row at once.

    hf:ILSVRC/imagenet-1k          by name, fetched once
    hf:cifar100:default?label=fine_label
    hf:/data/saved                 a folder of `save_to_disk`, or of parquet files or class folders
    hf:/data/train.parquet

N rows, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from spae.data.class_names import ClassText, find_class_text
from spae.data.datasets.corrupt_files import CorruptFiles
from spae.data.datasets.hub_columns import Columns, cell_content, find_columns, hub_library
from spae.data.datasets.sample_source import SampleFacts, split_off
from spae.data.datasets.training_folder import UNLABELLED
from spae.data.exclusion import KeptClasses, keep_classes
from spae.data.spec import DataSpec
from spae.errors import DataError

OPTIONS = ("split", "val", "image", "label", "classes", "streaming", "block")
HELD_OUT = ("validation", "val", "valid", "test")


@dataclass(frozen=True)
class HubRows(SampleFacts):
    """A `SampleSource` of the rows of one or two splits.

    Attributes:
        splits: names of the split trained on, and of the one held out where there is one.
        parts: their data sets, images not decoded.
        starts: first row of each part.
        columns: where images and labels are.
        homes: folders that a row's path may lead into.
        Others as in `SampleSource`.
    """

    splits: tuple[str, ...]
    parts: tuple[Any, ...]
    starts: tuple[int, ...]
    columns: Columns
    homes: tuple[Path, ...]

    def row_name(self, row: int) -> str:
        """Split and row."""
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"{self.splits[part]}/{row - self.starts[part]}"

    def content(self, row: int) -> Path | BinaryIO:
        """The cell's bytes or file."""
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        cell = self.parts[part][int(row - self.starts[part])][self.columns.image]
        return cell_content(cell, self.row_name(row), self.homes)


def open_hub(spec: DataSpec, exclude: Path | None, corrupt_files_list: Path | None) -> HubRows:
    """Loads or fetches the set.

    Args:
        spec: options `split` (train), `val` (split to hold out), `image`, `label`, `classes`.
        exclude: file of classes to leave out.

    Raises:
        InputError: `datasets` is not installed.
        DataError: the set cannot be loaded, or lacks a split, a column or labels.
    """
    spec.only(*OPTIONS)
    splits = load_splits(spec, streaming=False)
    train, held = choose_splits(spec, splits)
    chosen = (splits[train], splits[held]) if held else (splits[train],)
    columns = find_columns(spec, chosen[0].features)
    parts = tuple(undecoded(part, columns) for part in chosen)
    codes, kept = _classes(spec, parts, columns, exclude)
    labels = kept.place[codes]
    starts = (0, len(parts[0])) if held else (0,)
    rows = np.flatnonzero(labels >= 0)
    training, aside = rows[rows < len(parts[0])], rows[rows >= len(parts[0])]
    if not held:
        training, aside = split_off([f"{train}/{row}" for row in range(len(labels))], training)
    if not len(training):
        raise DataError(f"{spec.text} holds no row of the classes that stay: leave fewer out")
    marks = "".join(str(getattr(part, "_fingerprint", len(part))) for part in parts)
    without = f", {kept.unnamed} of them called by number or id" if kept.unnamed else ""
    return HubRows(
        name=spec.text,
        title=f"{len(kept.texts):,} classes{without}, {len(training):,} rows to train on, {len(aside):,} held out",
        fingerprint=hashlib.sha256(repr((kept.texts, marks, columns)).encode()).hexdigest(),
        classes=kept.texts,
        unnamed=kept.unnamed,
        labels=labels,
        train=training,
        held_out=aside,
        corrupt_files=CorruptFiles(len(rows), file=corrupt_files_list),
        splits=(train, held) if held else (train,),
        parts=parts,
        starts=starts,
        columns=columns,
        homes=homes(spec),
    )


def load_splits(spec: DataSpec, streaming: bool) -> Mapping[str, Any]:
    """All splits by name. Raises DataError."""
    library = hub_library()
    path, _, config = spec.location.partition(":")
    local = Path(spec.location)
    try:
        if local.is_dir() and any((local / name).exists() for name in ("dataset_info.json", "dataset_dict.json")):
            found = library.load_from_disk(str(local))
            if streaming:
                found = found if isinstance(found, Mapping) else {str(found.split or "train"): found}
                found = {name: part.to_iterable_dataset(num_shards=_shards(part)) for name, part in found.items()}
        elif local.is_file():
            kind = {".parquet": "parquet", ".arrow": "arrow"}.get(local.suffix)
            if kind is None:
                raise DataError(f"{spec.text} is a file that is neither .parquet nor .arrow: give a folder or a name")
            found = library.load_dataset(kind, data_files=str(local), streaming=streaming)
        elif local.exists():
            found = library.load_dataset(str(local), streaming=streaming)
        else:
            found = library.load_dataset(path, config or None, streaming=streaming)
    except (DataError, KeyboardInterrupt):
        raise
    except Exception as error:
        # Whatever the library raises (of many modules, some private) is said in one line.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(f"{spec.text} cannot be loaded ({reason}): check name or path, and the connection") from error
    return found if isinstance(found, Mapping) else {str(found.split or "train"): found}


def _shards(part: Any) -> int:
    """Of a saved set that is streamed: some, so that their order can be shuffled."""
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
    """The two columns, images as bytes or paths: decoding is ours, with its limits of size and its errors."""
    library = hub_library()
    part = part.select_columns([name for name in (columns.image, columns.label) if name])
    if isinstance(part.features[columns.image], library.Image):
        part = part.cast_column(columns.image, library.Image(decode=False))
    return part


def homes(spec: DataSpec) -> tuple[Path, ...]:
    """The folders that rows may name files in: the user's own, else where the libraries keep what they fetch."""
    local = Path(spec.location)
    if local.exists():
        return ((local if local.is_dir() else local.parent).resolve(),)
    library = hub_library()
    from huggingface_hub import constants

    return tuple(Path(one).resolve() for one in (library.config.HF_DATASETS_CACHE, constants.HF_HUB_CACHE))


def class_names(spec: DataSpec, columns: Columns) -> ClassText:
    """Text of the classes: the user's file, or those beside the data."""
    local = Path(spec.location)
    beside = (local, local.parent) if local.exists() else ()
    return find_class_text(spec.path("classes"), beside)


def _classes(
    spec: DataSpec, parts: tuple[Any, ...], columns: Columns, exclude: Path | None
) -> tuple[np.ndarray, KeptClasses]:
    """[N] int64, each row's place among the labels, and the classes that stay."""
    names = class_names(spec, columns)
    if not columns.label:
        count = sum(len(part) for part in parts)
        return np.zeros(count, dtype=np.int64), keep_classes([UNLABELLED], names, exclude, spec.text)
    values = [value for part in parts for value in part[columns.label]]
    if columns.names:
        codes = np.array([-1 if value is None else value for value in values], dtype=np.int64)
        if len(codes) and (codes.min() < 0 or codes.max() >= len(columns.names)):
            raise DataError(f"{spec.text} has rows whose label is none of its {len(columns.names)} classes: drop them")
        return codes, keep_classes(columns.names, names, exclude, spec.text)
    odd = next((value for value in values if not isinstance(value, str | int) or isinstance(value, bool)), None)
    if odd is not None or any(value is None for value in values):
        raise DataError(f"{spec.text}: labels must be text or whole numbers, column {columns.label} holds {odd!r}")
    ordered = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    place = {value: number for number, value in enumerate(ordered)}
    codes = np.array([place[value] for value in values], dtype=np.int64)
    return codes, keep_classes([str(value) for value in ordered], names, exclude, spec.text)
