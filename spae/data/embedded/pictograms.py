"""The embedded pictograms: everyday concepts, each in six or seven openly licensed styles, 64x64 on white.

They stand in for photographs where none can be fetched. Two things are kept from training, so that two kinds of
generalisation can be asked about:

- the style `emojione`: no image of it is ever trained on;
- a seeded fifth of the concepts: no image of them is ever trained on, in any style.

`scripts/build_pictograms.py` makes the file; `pictograms.LICENSES.md` names the authors of each style.

N images (rows), C concepts, S styles.
"""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from spae.data.embedded.pictogram_file import COLUMNS, decoded, places, read_columns
from spae.data.protocol import ClassImages, hashed_text
from spae.errors import DataError, UnknownName

PICTOGRAMS = Path(__file__).with_name("pictograms.parquet")
HELD_OUT_STYLE = "emojione"
MIN_STYLES = 6
SPLIT_SEED = "spae-pictograms-1"
REBUILD = "restore the file from the repository or run scripts/build_pictograms.py"


@dataclass(frozen=True)
class Concept:
    """One thing, shown in several styles.

    Attributes:
        id: its Unicode code points in hexadecimal ("1F981").
        name: lower-case text, unique in the set ("lion").
        tags: related words, as the emoji annotations give them.
        category: animals-nature, food-drink, travel-places, activities or objects.
        held_out: True where training never sees it.
    """

    id: str
    name: str
    tags: tuple[str, ...]
    category: str
    held_out: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class PictogramIndex:
    """What each image of the file shows, and in which style.

    Attributes:
        concepts: C concepts, in Unicode's order.
        styles: S style names.
        concept: [N] int64, index into `concepts`.
        style: [N] int64, index into `styles`.
        fingerprint: sha256 of the file.
    """

    concepts: tuple[Concept, ...]
    styles: tuple[str, ...]
    concept: np.ndarray
    style: np.ndarray
    fingerprint: str
    _held_out: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        flags = np.array([concept.held_out for concept in self.concepts], dtype=bool)
        object.__setattr__(self, "_held_out", flags[self.concept])
        for array in (self.concept, self.style, self._held_out):
            array.flags.writeable = False

    def select(self, styles: Sequence[str] | None = None, held_out: bool | None = None) -> np.ndarray:
        """Row indices, ascending.

        Args:
            styles: only these styles; None takes all.
            held_out: only the held-out concepts (True), only the others (False), or both (None).

        Raises:
            UnknownName: a style is not in the set.
        """
        keep = np.ones(len(self.concept), dtype=bool)
        if styles is not None:
            for style in styles:
                if style not in self.styles:
                    raise UnknownName("pictogram style", style, self.styles)
            keep &= np.isin(self.style, [self.styles.index(style) for style in styles])
        if held_out is not None:
            keep &= self._held_out == held_out
        return np.flatnonzero(keep)

    def train_rows(self) -> np.ndarray:
        """Rows that training may see: neither the held-out style nor a held-out concept."""
        return self.select(styles=[style for style in self.styles if style != HELD_OUT_STYLE], held_out=False)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pictograms(PictogramIndex):
    """The whole file, decoded.

    Attributes:
        pixels: [N, 64, 64, 3] uint8 RGB, read-only (indexing by rows copies).
    """

    pixels: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pixels.flags.writeable = False


def held_out_ids(ids: Sequence[str], seed: str = SPLIT_SEED) -> frozenset[str]:
    """The fifth of the ids (rounded down) whose sha256 of seed and id is lowest.

    A hash, and not a library's random numbers, so that the split outlives every library.
    """
    ranked = sorted(ids, key=lambda concept: hashlib.sha256(f"{seed}:{concept}".encode()).hexdigest())
    return frozenset(ranked[: len(ranked) // 5])


@functools.lru_cache(maxsize=2)
def load_pictograms(path: Path = PICTOGRAMS) -> Pictograms:
    """Reads, checks and decodes the file once per process (about a second, 53 MB).

    Raises:
        DataError: the file is missing, of another format, or breaks what the class states.
        CorruptImage: an image does not decode to 64x64 RGB.
    """
    index, columns = _read(path)
    facts = {one.name: getattr(index, one.name) for one in fields(index) if one.init}
    return Pictograms(**facts, pixels=decoded(path, columns, REBUILD))


def index_pictograms(path: Path = PICTOGRAMS) -> PictogramIndex:
    """The same without its pixels, which nobody may want. Raises DataError."""
    return _read(path)[0]


@functools.lru_cache(maxsize=2)
def _read(path: Path) -> tuple[PictogramIndex, Mapping[str, list[Any]]]:
    columns, fingerprint = read_columns(path, REBUILD)
    styles = tuple(dict.fromkeys(columns["style"]))
    ids = tuple(dict.fromkeys(columns["concept"]))
    concepts = _concepts(path, ids, columns)
    _check_styles(path, columns)
    index = PictogramIndex(
        concepts=concepts,
        styles=styles,
        concept=places(columns["concept"], ids),
        style=places(columns["style"], styles),
        fingerprint=fingerprint,
    )
    return index, columns


def _concepts(path: Path, ids: tuple[str, ...], columns: Mapping[str, list[Any]]) -> tuple[Concept, ...]:
    """One Concept an id; rows of one id must agree, and names must be unique."""
    facts: dict[str, tuple[str, tuple[str, ...], str]] = {}
    for concept, name, tags, category in zip(*(columns[c] for c in COLUMNS[:4]), strict=True):
        fact = (name, tuple(tags), category)
        if facts.setdefault(concept, fact) != fact:
            raise DataError(f"the pictogram file {path} gives {concept} two names, tags or categories: {REBUILD}")
    if len({name for name, _, _ in facts.values()}) != len(ids):
        raise DataError(f"the pictogram file {path} gives two concepts the same name: {REBUILD}")
    held_out = held_out_ids(ids)
    return tuple(Concept(concept, *facts[concept], held_out=concept in held_out) for concept in ids)


def _check_styles(path: Path, columns: Mapping[str, list[Any]]) -> None:
    """Each concept: no style twice, the held-out style there, and at least five others."""
    styles_of: dict[str, list[str]] = defaultdict(list)
    for concept, style in zip(columns["concept"], columns["style"], strict=True):
        styles_of[concept].append(style)
    for concept, styles in styles_of.items():
        if len(set(styles)) != len(styles):
            raise DataError(f"the pictogram file {path} has {concept} twice in one style: {REBUILD}")
        if HELD_OUT_STYLE not in styles:
            raise DataError(f"the pictogram file {path} lacks {concept} in style {HELD_OUT_STYLE}: {REBUILD}")
        if len(styles) < MIN_STYLES:
            raise DataError(
                f"the pictogram file {path} has {concept} in {len(styles)} styles of {MIN_STYLES}: {REBUILD}"
            )


class PictogramSet:
    """Pictograms as a `ImageSet`: examples in the styles that were trained on, queries in the one that was not.

    Args:
        new_concepts: False: the classes are the concepts that training saw. True: those it never saw.
        pictograms: the images; None loads the embedded file, and decodes it when the first image is asked for.

    Image ids are `<hex code>/<style>`.
    """

    embedded = True

    def __init__(self, new_concepts: bool = False, pictograms: Pictograms | None = None) -> None:
        self._decoded = pictograms
        index: PictogramIndex = pictograms or index_pictograms()
        self.name = "pictograms-new" if new_concepts else "pictograms"
        unseen = "concepts and a style" if new_concepts else "a style"
        self.title = (
            f"embedded pictograms, {unseen} never trained on (queries in style {HELD_OUT_STYLE}); not mini-ImageNet"
        )
        self._rows: dict[str, int] = {}
        support: dict[str, list[str]] = defaultdict(list)
        query: dict[str, list[str]] = defaultdict(list)
        for row in index.select(held_out=new_concepts).tolist():
            concept = index.concepts[index.concept[row]]
            style = index.styles[index.style[row]]
            image_id = f"{concept.id}/{style}"
            self._rows[image_id] = row
            (query if style == HELD_OUT_STYLE else support)[concept.name].append(image_id)
        self.classes = tuple(
            ClassImages(name, tuple(sorted(support[name])), tuple(sorted(query[name]))) for name in sorted(support)
        )
        split = "\n".join([index.fingerprint, *map(hashed_text, self.classes)])
        self.fingerprint = hashlib.sha256(split.encode()).hexdigest()

    def image(self, image_id: str) -> np.ndarray:
        """[64, 64, 3] uint8 RGB. Raises DataError for an id that is not of this set."""
        if image_id not in self._rows:
            raise DataError(f"{self.name} has no image {image_id!r}: ids read <hex code>/<style>, as in its classes")
        pictograms = self._decoded or load_pictograms()
        image: np.ndarray = pictograms.pixels[self._rows[image_id]].copy()
        return image


def new_concepts() -> PictogramSet:
    """The set `pictograms-new`: the concepts that training never saw."""
    return PictogramSet(new_concepts=True)
