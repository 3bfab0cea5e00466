"""csv files: rows by column name, and the mini-ImageNet csv beside its images.

miniimagenet/test.csv      filename,label
miniimagenet/images/n0193011200000003.jpg
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path

from spae.data.datasets.samples import FileSamples, NameTable
from spae.data.image_file import stays_inside
from spae.data.issues import Report, reported
from spae.errors import DataError
from spae.regular_file import open_regular

MOST_BYTES = 2**30
"""Of a csv. The 14 million images of ImageNet-21k, a line each, take half of that."""


def csv_rows(table: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row; an absent field is None.

    Raises:
        DataError: not UTF-8, not a csv, or one of the columns is missing.
    """
    try:
        with TextIOWrapper(open_regular(table, MOST_BYTES), encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            if not set(columns) <= set(reader.fieldnames or ()):
                wanted = ",".join(columns)
                raise DataError(f"{table} has the columns {reader.fieldnames}, expected {wanted}: rename them")
            for row in reader:
                yield reader.line_num, row
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{table} does not read as a UTF-8 csv ({error}): save it as one") from error


def csv_samples(table: Path, report: Report | None = None) -> FileSamples:
    """The images of a csv with the columns filename and label, sorted by both; other columns are ignored.

    Args:
        table: the csv; its images are in the folder images/ beside it.
        report: called with every issue, whose row is left out; None raises the first.

    Raises:
        DataError: there is no csv; without `report`, also a row that cannot be used.
    """
    images = table.parent / "images"
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    with reported(report, table.name):
        if not images.is_dir():
            raise DataError(f"{table} needs the folder images/ beside it, which is missing: put the images there")
        for line, row in csv_rows(table, ("filename", "label")):
            with reported(report, table.name, f"line {line}"):
                filename, label = row["filename"], row["label"]
                if not filename or not label:
                    raise DataError(f"{table} line {line} lacks a filename or a label: complete it")
                if filename in seen:
                    raise DataError(f"{table} line {line} lists {filename!r} again: list each file once")
                for text in (filename, label):
                    if not text.isprintable():
                        raise DataError(f"{table} line {line} has unprintable characters ({text!a}): rename it")
                if not stays_inside(images / filename, table.parent):
                    raise DataError(
                        f"{images / filename} leads out of {table.parent}: names and links must stay inside"
                    )
                if not (images / filename).is_file():
                    raise DataError(f"{table} lists {filename!r}, which is not in {images}: add it or remove the line")
                seen.add(filename)
                found.setdefault(label, []).append(filename)
    tables = {label: NameTable(sorted(found[label])) for label in sorted(found)}
    return FileSamples.of(images, tables, location=table, bounds=table.parent)
