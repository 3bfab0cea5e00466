"""Labelled samples to train on: the classes that stay, and a part that training never sees.

N samples, K classes.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from spae.canonical import composed
from spae.data.class_names import ClassText, keep_classes
from spae.data.datasets.corrupt_files import CorruptFiles
from spae.data.datasets.samples import LabelledSamples
from spae.errors import DataError

HELD_SHARE = 0.01
HELD_MOST = 5000


@dataclass(frozen=True)
class SampleSource:
    """The samples of one or two splits, numbered through; decoding is left to a loader.

    Attributes:
        name: as the user named it.
        title: one line: classes and samples.
        fingerprint: sha256 over classes, names and labels.
        classes: label text of the K classes.
        unnamed: how many of them are called by an id or a number, because no file names them.
        labels: [N] int32, places in `classes`; -1 for a class that is left out.
        train: numbers of the samples that training sees, ascending.
        held_out: numbers of those that it never sees, ascending.
        corrupt_files: samples found bad while they were listed; readers add to it.
        splits: the split trained on, and the one held out if the data has one.
    """

    name: str
    title: str
    fingerprint: str
    classes: tuple[str, ...]
    unnamed: int
    labels: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    corrupt_files: CorruptFiles
    splits: tuple[LabelledSamples, ...]

    def sample_name(self, number: int) -> str:
        """The sample's name in messages."""
        split, place = self._at(number)
        return split.name(place)

    def content(self, number: int) -> Path | BytesIO:
        """The sample's file, or its bytes. Raises CorruptImage if they cannot be read."""
        split, place = self._at(number)
        return split.content(place)

    def _at(self, number: int) -> tuple[LabelledSamples, int]:
        first = len(self.splits[0])
        return (self.splits[0], number) if number < first else (self.splits[1], number - first)


def training_source(
    name: str,
    train: LabelledSamples,
    held: LabelledSamples | None,
    names: ClassText,
    exclude: Path | None,
    corrupt_files_list: Path | None,
    note: str = "",
) -> SampleSource:
    """The samples of the classes that stay.

    Args:
        name: of the data, as the user typed it.
        train: the split trained on; its labels are the classes.
        held: the split held out, whose other labels are left out; None holds out a part of `train`.
        names: text of the labels.
        exclude: file of classes to leave out.
        corrupt_files_list: file that corrupt files are listed in.
        note: end of the title.

    Raises:
        DataError: no sample, no class or nothing held out is left, or too many samples are bad.
    """
    splits = (train,) if held is None else (train, held)
    corrupt_files = CorruptFiles(sum(len(split) + len(split.bad) for split in splits), file=corrupt_files_list)
    for split in splits:
        for sample, reason in split.bad.items():
            corrupt_files.add(sample, reason)
    if not len(train):
        raise DataError(f"{train.location} holds no sample: {train.layout}{train.passed_note}")
    kept = keep_classes(train.labels, names, exclude, train.location, numbered=train.numbered)
    place = dict(zip(map(composed, train.labels), kept.place.tolist(), strict=True))
    in_split = [np.array([place.get(composed(one), -1) for one in split.labels], dtype=np.int32) for split in splits]
    labels = np.concatenate([of_label[split.codes] for of_label, split in zip(in_split, splits, strict=True)])
    chosen = np.flatnonzero(labels >= 0)
    shown, aside = chosen[chosen < len(train)], chosen[chosen >= len(train)]
    if not len(shown):
        raise DataError(f"{train.location} holds no sample of the classes that stay: leave fewer out")
    foreign = 0
    if held is None:
        shown, aside = split_off([train.split_key(number) for number in shown.tolist()], shown)
    else:
        foreign = sum(composed(label) not in place for label in held.used_labels)
        if not len(aside):
            raise DataError(
                f"{held.location} holds no sample of the classes that are trained on: name another by ?val="
            )
    total = hashlib.sha256(repr(kept.texts).encode("utf-8", "surrogateescape"))
    for split in splits:
        total.update(split.names_digest())
    total.update(labels.tobytes())
    without = f", {kept.unnamed} of them called by number or id" if kept.unnamed else ""
    unknown = f"; {foreign} classes of the held-out split are not in training and left out" if foreign else ""
    return SampleSource(
        name=name,
        title=f"{len(kept.texts):,} classes{without}, {len(shown):,} samples to train on, {len(aside):,} held out"
        + unknown
        + note,
        fingerprint=total.hexdigest(),
        classes=kept.texts,
        unnamed=kept.unnamed,
        labels=labels,
        train=shown,
        held_out=aside,
        corrupt_files=corrupt_files,
        splits=splits,
    )


def split_off(names: Sequence[str], numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out samples of data without a split of its own.

    1% is held out, at least one sample and at most HELD_MOST: those with the lowest CRC-32 of their names. A checksum
    of the name, so that the split depends neither on the run's seed nor on the order of listing.

    Args:
        names: of the samples.
        numbers: of the samples, ascending.
    """
    if len(numbers) < 2:
        return numbers, numbers[:0]
    held = min(HELD_MOST, max(1, round(HELD_SHARE * len(numbers))))
    keys = np.array([zlib.crc32(name.encode("utf-8", "surrogateescape")) for name in names], dtype=np.int64)
    chosen = np.zeros(len(numbers), dtype=bool)
    chosen[np.argsort(keys, kind="stable")[:held]] = True
    return numbers[~chosen], numbers[chosen]
