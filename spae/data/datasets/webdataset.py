"""WebDataset shards on a disk: plain tar files that are read by offset, so that samples are shuffled over all shards.

    webdataset:/data/train-{000..146}.tar      ranges, lists ({a,b}) and * are expanded

N samples.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from spae.data.class_names import find_class_text
from spae.data.datasets.sample_source import SampleSource, training_source
from spae.data.datasets.samples import UNLABELLED, LabelledSamples, NameTable, shown_name
from spae.data.datasets.shard_index import LABELS, ShardIndex, shard_index
from spae.data.image_file import SUFFIXES
from spae.data.spec import DataSpec
from spae.errors import CorruptImage, DataError, InputError
from spae.regular_file import open_regular

MOST_CLASSES = 100_000
MOST_BYTES = 1 << 30
READERS = 8
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MOST_SHARDS = 100_000


@dataclass(frozen=True, kw_only=True)
class ShardSamples(LabelledSamples):
    """Members of tar files.

    Attributes:
        shards: the files.
        shard: [N] int32, place in `shards`.
        offsets, sizes: [N] int64.
        members: [N] names.
    """

    layout = "expected members NAME.jpg and NAME.cls, .txt or .json"

    shards: tuple[Path, ...]
    shard: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    members: NameTable

    def name(self, number: int) -> str:
        """Shard and member."""
        return f"{self.shards[int(self.shard[number])].name}:{shown_name(self.members[number])}"

    def split_key(self, number: int) -> str:
        """The member, whatever shard holds it."""
        return self.members[number]

    def content(self, number: int) -> BytesIO:
        """The member's bytes."""
        size = int(self.sizes[number])
        if size > MOST_BYTES:
            raise CorruptImage(f"{self.name(number)} has {size:,} bytes, at most {MOST_BYTES:,} are read: shrink it")
        try:
            with open_regular(self.shards[int(self.shard[number])]) as stream:
                stream.seek(int(self.offsets[number]))
                return BytesIO(stream.read(size))
        except OSError as error:
            raise CorruptImage(f"{self.name(number)} cannot be read ({error}): check the disk") from error

    def names_digest(self) -> bytes:
        """Over the members and their shards."""
        return hashlib.sha256(self.members.blob + self.shard.tobytes()).digest()


def shard_samples(spec: DataSpec, pattern: str, kinds: frozenset[str] = SUFFIXES) -> ShardSamples:
    """Indexes shards; the first time every header is read, which takes about as long as listing them with tar.

    Args:
        spec: option `labels` (cls, txt, json, or none for one class).
        pattern: of the shards.
        kinds: suffixes of the members that count.

    Raises:
        DataError: a shard is missing or no tar, or a sample has no label.
    """
    label = spec.options.get("labels", "")
    if label not in ("", "none", *LABELS):
        raise InputError(f"{spec.text}: labels must be one of {', '.join(LABELS)}, none; got {label!r}")
    shards = tuple(expand(pattern))
    with ThreadPoolExecutor(READERS) as pool:
        indexes = list(pool.map(lambda path: shard_index(path, kinds, label), shards))
    pairs = list(zip(shards, indexes, strict=True))
    labels, codes = _labels(indexes, shards, unlabelled=label == "none")
    return ShardSamples(
        title=f"{Path(pattern).name}, {len(shards):,} shards",
        location=pattern,
        home=shards[0].parent,
        labels=labels,
        codes=codes,
        bad={f"{path.name}:{member}": reason for path, index in pairs for member, reason in index.bad.items()},
        passed_over=_passed_over(shards, indexes),
        shards=shards,
        shard=np.repeat(np.arange(len(shards), dtype=np.int32), [len(index.names) for index in indexes]),
        offsets=np.concatenate([index.offsets for index in indexes]),
        sizes=np.concatenate([index.sizes for index in indexes]),
        members=NameTable.joined([index.names for index in indexes]),
    )


def open_shards(
    spec: DataSpec, exclude: Path | None, corrupt_files_list: Path | None, kinds: frozenset[str] = SUFFIXES
) -> SampleSource:
    """Shards to train on.

    Args:
        spec: options `val` (pattern of shards to hold out), `classes` (file of names), `labels` as `shard_samples`.
        exclude: file of classes to leave out.
        corrupt_files_list: file that corrupt members are listed in.
        kinds: suffixes of the members that count.

    Raises:
        DataError: as `shard_samples`; or a shard is in both splits, or too many samples are bad.
    """
    spec.only("val", "classes", "labels", *(() if kinds is SUFFIXES else ("stride",)))
    train = shard_samples(spec, spec.location, kinds)
    held = shard_samples(spec, spec.options["val"], kinds) if "val" in spec.options else None
    shards = (*train.shards, *(held.shards if held is not None else ()))
    if len(set(shards)) < len(shards):
        raise DataError(f"{spec.text}: a shard is both trained on and held out: change one of the patterns")
    names = find_class_text(spec.path("classes"), list(dict.fromkeys(path.parent for path in shards)))
    passed = train.passed_note + (held.passed_note if held is not None else "")
    return training_source(
        spec.text, train, held, names, exclude, corrupt_files_list, f"; {len(shards):,} shards{passed}"
    )


def _passed_over(shards: Sequence[Path], indexes: Sequence[ShardIndex]) -> dict[str, tuple[int, str]]:
    """What all shards pass over; names with their shard."""
    found: dict[str, tuple[int, str]] = {}
    for path, index in zip(shards, indexes, strict=True):
        for ending, (count, first) in index.passed_over.items():
            before, name = found.get(ending, (0, f"{path.name}:{first}"))
            found[ending] = (before + count, name)
    return found


def _labels(
    indexes: Sequence[ShardIndex], shards: Sequence[Path], unlabelled: bool
) -> tuple[tuple[str, ...], np.ndarray]:
    """Labels, sorted (numbers by value), and [N] int32 codes."""
    if unlabelled:
        return (UNLABELLED,), np.zeros(sum(len(index.names) for index in indexes), dtype=np.int32)
    place: dict[str, int] = {}
    codes, without = [], []
    for index, path in zip(indexes, shards, strict=True):
        for row, label in enumerate(index.labels):
            if not label:
                without.append(f"{path.name}:{shown_name(index.names[row])}")
                continue
            codes.append(place.setdefault(label, len(place)))
        if len(place) > MOST_CLASSES:
            raise DataError(
                f"{path.name} and those before hold over {MOST_CLASSES:,} labels (captions?): give ?labels=none"
            )
    if without:
        others = f", nor have {len(without) - 1:,} others ({', '.join(without[1:6])})" if len(without) > 1 else ""
        raise DataError(
            f"{without[0]} has no label{others}: add a member .cls, .txt or .json to each, or give ?labels=none"
        )
    numbers = all(label.isascii() and label.isdigit() for label in place)
    ordered = sorted(place, key=int) if numbers else sorted(place)
    rank = np.empty(len(place), dtype=np.int32)
    for new, label in enumerate(ordered):
        rank[place[label]] = new
    return tuple(ordered), rank[np.array(codes, dtype=np.int64)]


def expand(pattern: str) -> list[Path]:
    """The shards a pattern names, in its order; those of a `*` sorted.

    Raises:
        DataError: a remote address, a range that runs backwards or is endless, a shard that is not there.
    """
    if re.match(r"(?:https?|s3|gs|pipe|hdfs):", pattern):
        raise DataError(
            f"webdataset:{pattern} is not local: shards are read by offset, so copy them to a disk, or stream them "
            "through hf:webdataset"
        )
    found: list[Path] = []
    for name in _braces(pattern):
        if any(mark in name for mark in "*?[") and not Path(name).exists():
            matches = sorted(glob.glob(name))
            if not matches:
                raise DataError(f"no file matches {name}: check the pattern")
            found += [Path(match) for match in matches]
        elif Path(name).is_dir():
            raise DataError(f"{name} is a folder, expected tar shards: write {name}/*.tar")
        elif not Path(name).is_file():
            raise DataError(f"no shard at {name}, which {pattern} names: check the pattern")
        else:
            found.append(Path(name))
    twice = len(found) - len(set(found))
    if twice:
        raise DataError(f"{pattern} names {twice} shards twice: name each once")
    return found


def _braces(pattern: str) -> list[str]:
    names = [pattern]
    while any(BRACES.search(name) for name in names):
        names = [longer for name in names for longer in _first_brace(name)]
        if len(names) > MOST_SHARDS:
            raise DataError(f"{pattern} names over {MOST_SHARDS:,} shards: correct the range")
    return names


def _first_brace(name: str) -> list[str]:
    found = BRACES.search(name)
    if found is None:
        return [name]
    body = found.group(1)
    numbers = RANGE.fullmatch(body)
    if numbers:
        first, last = numbers.groups()
        if int(last) < int(first) or int(last) - int(first) >= MOST_SHARDS:
            raise DataError(f"{{{body}}} must count upwards and below {MOST_SHARDS:,}: correct the range")
        parts = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    else:
        parts = body.split(",")
    return [name[: found.start()] + part + name[found.end() :] for part in parts]
