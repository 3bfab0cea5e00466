"""A file of pictograms: one Parquet row an image, with its concept and its style.

Two files have this format, `pictograms.parquet` and `pictograms_training.parquet`.

N images (rows).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from spae.errors import CorruptImage, DataError
from spae.regular_file import MOST_INDEX, read_bytes

FORMAT_VERSION = "1"
SIZE = 64
IMAGE = "picture"
"""Name of the column of encoded images: part of the committed files, whose bytes every manifest's hash covers."""
TYPES = {
    "concept": pa.string(),
    "name": pa.string(),
    "tags": pa.list_(pa.string()),
    "category": pa.string(),
    "style": pa.string(),
    IMAGE: pa.binary(),
}
COLUMNS = tuple(TYPES)


def read_columns(path: Path, rebuild: str) -> tuple[Mapping[str, list[Any]], str]:
    """The columns as lists, and the sha256 of the file.

    Args:
        path: the file.
        rebuild: the fix for a file that cannot be used, at the end of every error.

    Raises:
        DataError: the file is missing, damaged, of another format, or has cells that are empty or of other types.
    """
    try:
        raw = read_bytes(path, MOST_INDEX)
    except OSError as error:
        raise DataError(f"the pictogram file {path} cannot be read ({error.strerror}): {rebuild}") from error
    try:
        table = pq.ParquetFile(io.BytesIO(raw)).read()  # read_table would import pandas
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"the pictogram file {path} is not a whole Parquet file: {rebuild}") from error
    version = (table.schema.metadata or {}).get(b"spae.format_version", b"none").decode("utf-8", "replace")
    if version != FORMAT_VERSION:
        raise DataError(
            f"the pictogram file {path} has format {version}, this version reads {FORMAT_VERSION}: {rebuild}"
        )
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing or table.num_rows == 0:
        raise DataError(f"the pictogram file {path} has {table.num_rows} rows and lacks columns {missing}: {rebuild}")
    # The name of a list's element is up to the writer and carries no meaning.
    wrong = [name for name, kind in TYPES.items() if not table.schema.field(name).type.equals(kind)]
    if wrong:
        raise DataError(f"the pictogram file {path} holds other types than it should in {', '.join(wrong)}: {rebuild}")
    nulls = [name for name in COLUMNS if table[name].null_count]
    if nulls:
        raise DataError(f"the pictogram file {path} has empty cells in {', '.join(nulls)}: {rebuild}")
    return {name: table[name].to_pylist() for name in COLUMNS}, hashlib.sha256(raw).hexdigest()


def decoded(path: Path, columns: Mapping[str, list[Any]], rebuild: str) -> np.ndarray:
    """[N, 64, 64, 3] uint8 RGB. Raises CorruptImage for one that does not decode to that size."""
    pixels = np.empty((len(columns[IMAGE]), SIZE, SIZE, 3), dtype=np.uint8)
    for row, image in enumerate(columns[IMAGE]):
        pixels[row] = _decode(path, image, f"{columns['concept'][row]}/{columns['style'][row]}", rebuild)
    return pixels


def places(values: Sequence[str], among: Sequence[str]) -> np.ndarray:
    """[N] int64: where each value stands in `among`, which has it."""
    place_of = {one: place for place, one in enumerate(among)}
    return np.array([place_of[value] for value in values], dtype=np.int64)


def _decode(path: Path, encoded: bytes, image_id: str, rebuild: str) -> np.ndarray:
    try:
        # Only the format that the file is written in: no other decoder sees the bytes.
        with Image.open(io.BytesIO(encoded), formats=["WEBP"]) as image:
            if image.size == (SIZE, SIZE):
                return np.asarray(image.convert("RGB"))
            seen = f"is {image.size[0]}x{image.size[1]}, not {SIZE}x{SIZE}"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CorruptImage(f"image {image_id} of {path} does not decode: {rebuild}") from error
    raise CorruptImage(f"image {image_id} of {path} {seen}: {rebuild}")
