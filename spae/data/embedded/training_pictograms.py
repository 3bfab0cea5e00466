"""The embedded pictograms and, beside them, drawings of the same concepts in further styles, to train on alone.

They are a second file, so that the first stays as committed runs and results know it. Everything that is asked about is
asked of the first: the further styles add to no test, and none of them shows a concept that training never sees.

`scripts/build_training_pictograms.py` makes the file; `pictograms.LICENSES.md` names the authors of each style.

N images (rows).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spae.data.embedded.pictogram_file import decoded, places, read_columns
from spae.data.embedded.pictograms import Pictograms, load_pictograms
from spae.errors import DataError

TRAINING_PICTOGRAMS = Path(__file__).with_name("pictograms_training.parquet")
COLOURLESS = 8
REBUILD = "restore the file from the repository or run scripts/build_training_pictograms.py"


@functools.lru_cache(maxsize=1)
def load_training_pictograms() -> Pictograms:
    """Both embedded files, decoded once per process (about two seconds, 110 MB). Raises as `with_training_styles`."""
    return with_training_styles(load_pictograms())


def with_training_styles(pictograms: Pictograms, path: Path = TRAINING_PICTOGRAMS) -> Pictograms:
    """The same concepts; the rows and styles of the file come after those that are there.

    Args:
        pictograms: the set whose concepts the file shows.
        path: a file of further styles.

    Returns: a set that differs in `train_rows` and in nothing that is held out.

    Raises:
        DataError: the file is missing, of another format, or holds what must not be trained on: an unknown or held-out
            concept, a style that is there already, one image twice.
        CorruptImage: an image does not decode to 64x64 RGB.
    """
    columns, fingerprint = read_columns(path, REBUILD)
    _check(path, columns, pictograms)
    styles = (*pictograms.styles, *dict.fromkeys(columns["style"]))
    concept = places(columns["concept"], [one.id for one in pictograms.concepts])
    style = places(columns["style"], styles)
    return Pictograms(
        concepts=pictograms.concepts,
        styles=styles,
        pixels=np.concatenate([pictograms.pixels, decoded(path, columns, REBUILD)]),
        concept=np.concatenate([pictograms.concept, concept]),
        style=np.concatenate([pictograms.style, style]),
        fingerprint=hashlib.sha256(f"{pictograms.fingerprint}\n{fingerprint}".encode()).hexdigest(),
    )


def without_colour(pictograms: Pictograms) -> np.ndarray:
    """[N] bool: which images have no colour: no pixel's channels differ by more than 8 of 255."""
    pixels = pictograms.pixels
    # Row by row: the channels of all images at once, as int16, would take a gigabyte.
    return np.array([int(np.ptp(image.astype(np.int16), axis=-1).max()) <= COLOURLESS for image in pixels])


def _check(path: Path, columns: Mapping[str, list[Any]], pictograms: Pictograms) -> None:
    known = {concept.id: concept for concept in pictograms.concepts}
    seen: set[tuple[str, str]] = set()
    for one, name, tags, category, style in zip(
        *(columns[c] for c in ("concept", "name", "tags", "category", "style")), strict=True
    ):
        if one not in known:
            raise DataError(f"the pictogram file {path} draws {one}, which is no concept of the first file: {REBUILD}")
        concept = known[one]
        if (name, tuple(tags), category) != (concept.name, concept.tags, concept.category):
            raise DataError(f"the pictogram file {path} names {one} otherwise than the first file: {REBUILD}")
        if concept.held_out:
            raise DataError(f"the pictogram file {path} draws {one}, which training must never see: {REBUILD}")
        if style in pictograms.styles:
            raise DataError(f"the pictogram file {path} has style {style}, which the first file has: {REBUILD}")
        if (one, style) in seen:
            raise DataError(f"the pictogram file {path} has {one} twice in style {style}: {REBUILD}")
        seen.add((one, style))
