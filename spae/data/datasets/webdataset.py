"""WebDataset shards on a disk as rows to train on. With an index of offsets a shard is as good as a folder: rows are
shuffled over all shards, and no unpacked copy is needed.

N rows, K classes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spae.data.class_names import find_class_text
from spae.data.datasets.corrupt_files import CorruptFiles
from spae.data.datasets.sample_source import NameTable, SampleFacts, shown_name, split_off
from spae.data.datasets.shard_index import LABELS, ShardIndex, shard_index
from spae.data.datasets.shard_pattern import expand
from spae.data.datasets.training_folder import UNLABELLED
from spae.data.exclusion import KeptClasses, keep_classes
from spae.data.image_file import SUFFIXES
from spae.data.spec import DataSpec
from spae.errors import CorruptImage, DataError, InputError

MOST_CLASSES = 100_000
MOST_BYTES = 1 << 30
READERS = 8


@dataclass(frozen=True)
class ShardSamples(SampleFacts):
    """A `SampleSource` of members of tar files.

    Attributes:
        shards: the files.
        shard: [N] int32, place in `shards`.
        offsets, sizes: [N] int64.
        members: [N] names.
        Others as in `SampleSource`.
    """

    shards: tuple[Path, ...]
    shard: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    members: NameTable

    def row_name(self, row: int) -> str:
        """Shard and member."""
        return f"{self.shards[int(self.shard[row])].name}:{shown_name(self.members[row])}"

    def content(self, row: int) -> BinaryIO:
        """The member's bytes."""
        size = int(self.sizes[row])
        if size > MOST_BYTES:
            raise CorruptImage(f"{self.row_name(row)} has {size:,} bytes, at most {MOST_BYTES:,} are read: shrink it")
        try:
            with self.shards[int(self.shard[row])].open("rb", buffering=0) as stream:
                stream.seek(int(self.offsets[row]))
                return io.BytesIO(stream.read(size))
        except OSError as error:
            raise CorruptImage(f"{self.row_name(row)} cannot be read ({error}): check the disk") from error


def open_shards(
    spec: DataSpec, exclude: Path | None, corrupt_files_list: Path | None, kinds: frozenset[str] = SUFFIXES
) -> ShardSamples:
    """Indexes the shards; the first time every header is read, which takes about as long as listing them with tar.

    Args:
        spec: options `val` (pattern of shards to hold out), `classes` (file of names), `labels` (cls, txt, json, or
            none for one class).
        exclude: file of classes to leave out.
        kinds: suffixes of the members that count.

    Raises:
        DataError: a shard is missing or no tar, a sample has no label, too many are bad.
    """
    spec.only("val", "classes", "labels")
    label = spec.options.get("labels", "")
    if label not in ("", "none", *LABELS):
        raise InputError(f"{spec.text}: labels must be one of {', '.join(LABELS)}, none; got {label!r}")
    paths = expand(spec.location)
    held_paths = expand(spec.options["val"]) if "val" in spec.options else []
    if set(paths) & set(held_paths):
        raise DataError(f"{spec.text}: a shard is both trained on and held out: change one of the patterns")
    shards = (*paths, *held_paths)
    with ThreadPoolExecutor(READERS) as pool:
        indexes = list(pool.map(lambda path: shard_index(path, kinds, label), shards))
    total = sum(len(index.names) + len(index.bad) for index in indexes)
    corrupt_files = CorruptFiles(total, file=corrupt_files_list)
    for path, index in zip(shards, indexes, strict=True):
        for member, reason in index.bad.items():
            corrupt_files.add(f"{path.name}:{member}", reason)
    codes, found = _codes(indexes, shards, unlabelled=label == "none")
    if not found:
        raise DataError(f"{spec.location} holds no sample: expected members NAME.jpg and NAME.cls, .txt or .json")
    beside = list(dict.fromkeys(path.parent for path in shards))
    kept = keep_classes(found, find_class_text(spec.path("classes"), beside), exclude, spec.location)
    return _rows(spec.text, shards, len(paths), indexes, kept, codes, corrupt_files)


def _codes(indexes: Sequence[ShardIndex], shards: Sequence[Path], unlabelled: bool) -> tuple[np.ndarray, list[str]]:
    """[N] int32, each row's place in the sorted list of labels, and that list."""
    if unlabelled:
        count = sum(len(index.names) for index in indexes)
        return np.zeros(count, dtype=np.int32), [UNLABELLED] if count else []
    place: dict[str, int] = {}
    codes = []
    for index, path in zip(indexes, shards, strict=True):
        for row, label in enumerate(index.labels):
            if not label:
                raise DataError(
                    f"{path.name}:{shown_name(index.names[row])} has no label: add a member .cls, .txt or .json, "
                    "or give ?labels=none"
                )
            codes.append(place.setdefault(label, len(place)))
        if len(place) > MOST_CLASSES:
            raise DataError(
                f"{path.name} and those before hold over {MOST_CLASSES:,} labels (captions?): give ?labels=none"
            )
    numbers = all(label.isascii() and label.isdigit() for label in place)
    ordered = sorted(place, key=int) if numbers else sorted(place)
    rank = np.empty(len(place), dtype=np.int32)
    for new, label in enumerate(ordered):
        rank[place[label]] = new
    return rank[np.array(codes, dtype=np.int64)], ordered


def _rows(
    name: str,
    shards: tuple[Path, ...],
    trained: int,
    indexes: Sequence[ShardIndex],
    kept: KeptClasses,
    codes: np.ndarray,
    corrupt_files: CorruptFiles,
) -> ShardSamples:
    """The rows of the classes that stay; those of the first `trained` shards are trained on."""
    members = NameTable.joined([index.names for index in indexes])
    shard = np.repeat(np.arange(len(shards), dtype=np.int32), [len(index.names) for index in indexes])
    labels = kept.place[codes]
    rows = np.flatnonzero(labels >= 0)
    train, held = rows[shard[rows] < trained], rows[shard[rows] >= trained]
    if trained == len(shards):
        train, held = split_off(members, train)
    if not len(train):
        raise DataError(f"{name} holds no sample of the classes that stay: leave fewer out")
    total = hashlib.sha256(repr(kept.texts).encode())
    for array in (members.blob, shard.tobytes(), labels.tobytes()):
        total.update(array)
    without = f", {kept.unnamed} of them called by number or id" if kept.unnamed else ""
    return ShardSamples(
        name=name,
        title=f"{len(shards):,} shards, {len(kept.texts):,} classes{without}, {len(train):,} samples to train on, "
        f"{len(held):,} held out",
        fingerprint=total.hexdigest(),
        classes=kept.texts,
        unnamed=kept.unnamed,
        labels=labels,
        train=train,
        held_out=held,
        corrupt_files=corrupt_files,
        shards=shards,
        shard=shard,
        offsets=np.concatenate([index.offsets for index in indexes]),
        sizes=np.concatenate([index.sizes for index in indexes]),
        members=members,
    )
