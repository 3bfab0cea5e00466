"""Labelled samples as the reader of a format finds them: by number, a label each, their bytes on demand.

Each format has one reader (`image_folder`, `csv_table`, `hub`, `webdataset`, `video`). What it returns is evaluated on
through `sample_set.SampleSet`, and trained on through `sample_source.SampleSource`.

N samples, L labels.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np

from spae.data.image_file import stays_inside
from spae.errors import CorruptImage

UNLABELLED = "unlabelled"
"""The label of all samples where labels are ignored."""


NAMED = 5
"""Endings of files passed over that a title names."""


class NameTable(Sequence[str]):
    """Many short names in two arrays: a list of strings would take ten times the memory (13 million images)."""

    def __init__(self, names: Iterable[str]) -> None:
        blob, ends = bytearray(), array("q", [0])
        for name in names:
            blob += name.encode("utf-8", "surrogateescape")
            ends.append(len(blob))
        self.blob = bytes(blob)
        self.ends = np.frombuffer(ends, dtype=np.int64)

    @classmethod
    def of_arrays(cls, blob: bytes, ends: np.ndarray) -> NameTable:
        """A table from the two arrays of another."""
        table = cls(())
        table.blob, table.ends = blob, ends
        return table

    @classmethod
    def joined(cls, tables: Sequence[NameTable]) -> NameTable:
        """The names of all tables, one after another."""
        starts = np.cumsum([0, *(len(table.blob) for table in tables)])
        ends = [table.ends[1:] + start for table, start in zip(tables, starts[:-1], strict=True)]
        blob = b"".join(table.blob for table in tables)
        return cls.of_arrays(blob, np.concatenate([np.zeros(1, np.int64), *ends]))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, place: int) -> str:  # type: ignore[override]
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self.blob[self.ends[place] : self.ends[place + 1]].decode("utf-8", "surrogateescape")


def shown_name(name: str) -> str:
    """The name as one printable line."""
    return name if name.isprintable() else ascii(name)[1:-1]


@dataclass(frozen=True, kw_only=True)
class LabelledSamples(ABC):
    """The samples of one split.

    Attributes:
        title: what they are, for titles of sets ("flowers"; "ylecun/mnist, split test").
        location: path or name, for messages.
        home: the folder of the data; files of class names are looked for there.
        file: the file that issues of the whole split name: ".", or the name of a csv or a split.
        labels: [L] as the data spell them, each once, in the data's order; some may have no sample.
        codes: [N] int32, place of each sample's label in `labels`; -1 for a label that cannot be used.
        numbered: whether the data number their classes: class i is `labels[i]`.
        bad: name -> reason of samples that the listing shows to be unusable; they are not among the N.
        passed_over: ending -> how many files of that ending are in no sample, and the first one's name.
    """

    layout: ClassVar[str]
    """What the format expects, for messages about a location without samples."""

    title: str
    location: str
    home: Path
    file: str = "."
    labels: tuple[str, ...]
    codes: np.ndarray
    numbered: bool = False
    bad: Mapping[str, str] = field(default_factory=dict)
    passed_over: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def passed_note(self) -> str:
        """End of a title: how many files are in no sample, of which endings, and the name of one of each."""
        total = sum(count for count, _ in self.passed_over.values())
        shown = sorted(self.passed_over.items(), key=lambda one: -one[1][0])
        named = ", ".join(f"{count:,} {ending} ({first})" for ending, (count, first) in shown[:NAMED])
        more = f" and {len(shown) - NAMED} more endings" if len(shown) > NAMED else ""
        return f"; {total:,} files passed over: {named}{more}" if total else ""

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def used_labels(self) -> list[str]:
        """The labels that have samples."""
        return [self.labels[code] for code in np.unique(self.codes).tolist() if code >= 0]

    @abstractmethod
    def name(self, number: int) -> str:
        """The sample's name, one printable line, unique in the split: its id in an evaluation set."""

    def split_key(self, number: int) -> str:
        """What decides whether training holds the sample out: its name, wherever the data lie."""
        return self.name(number)

    @abstractmethod
    def content(self, number: int) -> Path | BytesIO:
        """The sample's file, or its bytes. Raises CorruptImage if they cannot be read."""

    @abstractmethod
    def names_digest(self) -> bytes:
        """Changes when the list of samples changes, as far as it is known without reading every sample."""


@dataclass(frozen=True, kw_only=True)
class FileSamples(LabelledSamples):
    """Files below a folder.

    Attributes:
        root: the folder.
        paths: [N] below the root.
        bounds: the folder that names and links may not leave.
    """

    layout = (
        "expected CLASS/FILE in it, or a csv (filename,label) beside images/, or ?labels=none to train without labels"
    )

    root: Path
    paths: NameTable
    bounds: Path

    @classmethod
    def of(
        cls, root: Path, found: Mapping[str, NameTable], *, location: Path, bounds: Path | None = None
    ) -> FileSamples:
        """Files by label.

        Args:
            root: the folder that paths are below.
            found: label -> paths, in the order that the samples get.
            location: the folder or csv that the user named.
            bounds: the folder that links may not leave; None is the root.
        """
        counts = [len(paths) for paths in found.values()]
        bounds = bounds or root
        return cls(
            title=location.name or str(location),
            location=str(location),
            home=bounds,
            file="." if location.is_dir() else location.name,
            labels=tuple(found),
            codes=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
            root=root,
            paths=NameTable.joined(list(found.values())),
            bounds=bounds,
        )

    def name(self, number: int) -> str:
        """The path below the root."""
        return shown_name(self.paths[number])

    def content(self, number: int) -> Path:
        """The file. Raises CorruptImage for a link that leads out."""
        path = self.root / self.paths[number]
        if path.is_symlink() and not stays_inside(path, self.bounds):
            raise CorruptImage(f"{self.name(number)} is a link that leads out of {self.bounds}: copy the file in")
        return path

    def split_key(self, number: int) -> str:
        """The path as it is, printable or not."""
        return self.paths[number]

    def names_digest(self) -> bytes:
        """Over all paths."""
        return hashlib.sha256(self.paths.blob).digest()
