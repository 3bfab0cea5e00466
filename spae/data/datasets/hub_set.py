"""A Hugging Face data set, or parquet files, as a `ImageSet`: an image and a label column, found or named.

    hf:timm/mini-imagenet?split=test        hf:cifar100:default?label=fine_label        /data/saved_to_disk

The package `datasets` is needed (extra: data). Images are decoded here, by the five decoders of `image_file`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spae.data.class_names import class_words, names_beside
from spae.data.datasets.hub_columns import Columns, cell_content, find_columns
from spae.data.datasets.hub_dataset import homes, load_splits, undecoded
from spae.data.image_file import check_header, read_image
from spae.data.issues import Report, reported
from spae.data.protocol import ClassImages
from spae.data.spec import DataSpec
from spae.errors import DataError

OPTIONS = ("split", "image", "label", "classes")
EVALUATED = ("test", "validation", "val", "valid", "train")
"""The split that is taken where the user names none: the first of these that there is."""


class HubRows:
    """The rows of one split, by their labels.

    Args:
        spec: the set, and options `split`, `image`, `label`, `classes`.

    Attributes:
        split: its name.
        names: text of the classes by label, where the column says it.

    Raises:
        DataError: the set cannot be loaded, or lacks the split or a column.
        InputError: `datasets` is not installed.
    """

    def __init__(self, spec: DataSpec) -> None:
        spec.only(*OPTIONS)
        splits = load_splits(spec, streaming=False)
        self.spec = spec
        self.split = _split(spec, splits)
        self._columns: Columns = find_columns(spec, splits[self.split].features)
        if not self._columns.label:
            raise DataError(f"{spec.text}: few-shot needs labels: name their column by ?label=COLUMN")
        self._rows = undecoded(splits[self.split], self._columns)
        self._homes = homes(spec)

    def __len__(self) -> int:
        return len(self._rows)

    def labels(self, report: Report | None = None) -> dict[int, str]:
        """Row -> label as text. A row without one is reported, or raises DataError."""
        found: dict[int, str] = {}
        names = self._columns.names
        for row, value in enumerate(self._rows[self._columns.label]):
            with reported(report, self.row_name(row), self._columns.label):
                where = f"the label of row {self.row_name(row)} of {self.spec.text}"
                number = isinstance(value, int) and not isinstance(value, bool)
                if names and not (number and 0 <= value < len(names)):
                    raise DataError(f"{where} must be one of the {len(names)} classes, got {value!r}: drop the row")
                if not names and not (number or (isinstance(value, str) and value.strip() and value.isprintable())):
                    seen = ascii(value)[:80]
                    raise DataError(f"{where} must be a number or printable text, got {seen}: drop the row")
                found[row] = names[value] if names else str(value)
        return found

    def row_name(self, row: int) -> str:
        """`test/17`: the image's id."""
        return f"{self.split}/{row}"

    def content(self, row: int) -> Any:
        """The image's bytes as a stream, or its file. Raises CorruptImage."""
        return cell_content(self._rows[row][self._columns.image], self.row_name(row), self._homes)


class HubSet:
    """Labelled images of a Hugging Face data set; each may be an example and may be asked about.

    Args:
        spec: as in `HubRows`.
        name: how the user called it.

    Raises:
        DataError, InputError: as `HubRows`; or there are fewer than two classes.
        CorruptImage: a cell whose header is no image's.
    """

    embedded = False

    def __init__(self, spec: DataSpec, name: str) -> None:
        self.name = name
        self._rows = HubRows(spec)
        found = rows_by_class(self._rows)
        home = home_of(spec)
        words = class_words(sorted(found), names_beside(spec.path("classes"), home), home)
        self._places = {self._rows.row_name(row): row for rows in found.values() for row in rows}
        self.classes = tuple(
            ClassImages(words[label], *[tuple(self._rows.row_name(row) for row in found[label])] * 2)
            for label in sorted(found, key=lambda label: words[label])
        )
        count = len(self._places)
        self.title = f"{spec.location}, split {self._rows.split}: {len(self.classes)} classes, {count:,} images"
        self.fingerprint = self._hash()

    def _hash(self) -> str:
        """sha256 over class names, image ids and the bytes of every image, each header checked."""
        total = hashlib.sha256()
        for one in self.classes:
            total.update(f"{len(one.name)}:{one.name}\n".encode())
            for image_id in one.support:
                content = self._rows.content(self._places[image_id])
                check_header(content, f"{image_id} of {self.name}")
                raw = content.read_bytes() if isinstance(content, Path) else content.getvalue()
                total.update(f"{len(image_id)}:{image_id} {hashlib.sha256(raw).hexdigest()}\n".encode())
        return total.hexdigest()

    def image(self, image_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown id."""
        if image_id not in self._places:
            raise DataError(f"{self.name} has no image {image_id!r}: ids read SPLIT/ROW, as in its classes")
        return read_image(self._rows.content(self._places[image_id]), f"{image_id} of {self.name}")


def rows_by_class(rows: HubRows, report: Report | None = None) -> dict[str, list[int]]:
    """Label -> rows. Raises DataError, or tells `report`, where there are fewer than two."""
    found: dict[str, list[int]] = defaultdict(list)
    for row, label in rows.labels(report).items():
        found[label].append(row)
    with reported(report, rows.split):
        if len(found) < 2:
            raise DataError(f"{rows.spec.text} split {rows.split} has {len(found)} classes, few-shot needs two or more")
    return dict(found)


def home_of(spec: DataSpec) -> Path:
    """Where a file of names may lie beside the data."""
    local = Path(spec.location)
    return local if local.is_dir() else local.parent


def _split(spec: DataSpec, splits: Mapping[str, Any]) -> str:
    chosen = spec.options.get("split") or next((name for name in EVALUATED if name in splits), next(iter(splits)))
    if chosen not in splits:
        raise DataError(f"{spec.text} has no split {chosen!r}: name one by ?split=, of {', '.join(splits)}")
    return chosen
