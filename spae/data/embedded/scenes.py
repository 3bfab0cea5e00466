"""Embedded scenes: one to three pictograms on a white canvas of 64x64, with captions, and questions of known answers.

They stand in for COCO and Visual Genome where neither can be fetched, and are neither. As with the pictograms, a
query image is in a style that no model was trained on, and `scenes-new` shows things that no
model was trained on in any style. Which things, sizes, places and styles: by hashes, the same on every machine.

    support/1/0007   a lion of the style noto, 41 pixels wide, at the bottom left
        captions     "A lion on a white background.", "A lion at the bottom and on the left of the picture.", ...
        questions    "What is this?" lion; "How many things are there?" one; "On which side is it?" left; ...
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spae.data.annotations.annotated import Annotations, Question, hashed_text
from spae.data.embedded.main_colour import main_colour
from spae.data.embedded.pictograms import HELD_OUT_STYLE, Pictograms, load_pictograms
from spae.data.embedded.scene_layout import Box, boxes, paint, pick
from spae.data.embedded.scene_text import Thing, captions, questions
from spae.data.protocol import ClassImages
from spae.errors import DataError

VERSION = "spae-scenes-1"
"""Part of every sampled choice and of the fingerprint: a change of layout, texts or counts needs another."""

EXAMPLES, QUERIES = 6, 2
"""Scenes of one thing alone, for each thing: a prompt of five shots, and one to spare."""
SEVERAL_EXAMPLES, SEVERAL_QUERIES = 240, 120
"""Scenes of two things, and as many of three."""

ONE_WORD = re.compile(r"[a-z]+")
# Names that answer "What is this?" badly: no thing that can be counted, or a word for something else.
NO_THING = frozenset({
    "badminton", "bacon", "bowling", "bread", "camping", "candy", "construction", "cooking", "cricket", "cyclone",
    "desert", "dvd", "email", "fire", "fog", "foggy", "herb", "link", "locked", "memo", "motorway", "oden", "pick",
    "popcorn", "sake", "spaghetti", "sushi", "tennis", "unlocked", "wedding", "wind",
})  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """One pictogram of a scene: its row in the file, and where it stands."""

    row: int
    box: Box


class SceneSet:
    """Scenes as an `AnnotatedSet`, and as a `ImageSet` whose classes are the scenes of one thing alone.

    Args:
        new_concepts: False: things that training saw, in other styles. True: things it never saw.
        pictograms: what scenes are made of; None loads the embedded file.

    Image ids are `<support or query>/<number of things>/<number>`.
    """

    embedded = True

    def __init__(self, new_concepts: bool = False, pictograms: Pictograms | None = None) -> None:
        self._pictograms = pictograms or load_pictograms()
        self.name = "scenes-new" if new_concepts else "scenes"
        unseen = "things and a style" if new_concepts else "a style"
        self.title = (
            f"embedded scenes of one to three pictograms, {unseen} never trained on (queries in style "
            f"{HELD_OUT_STYLE}); not COCO, not VQA"
        )
        things = self._things(new_concepts)
        self._scenes: dict[str, tuple[_Part, ...]] = {}
        support = self._place("support", things, EXAMPLES, SEVERAL_EXAMPLES)
        query = self._place("query", things, QUERIES, SEVERAL_QUERIES)
        self.support, self.query = tuple(sorted(support)), tuple(sorted(query))
        self._colours: dict[int, str | None] = {}
        self.annotations: Mapping[str, Annotations] = {
            image_id: self._annotate(image_id, parts) for image_id, parts in self._scenes.items()
        }
        self.classes = self._classes()
        self.fingerprint = self._hash()

    def _things(self, new_concepts: bool) -> dict[str, tuple[list[int], list[int]]]:
        """Name -> rows in styles that were trained on, rows in the one that was not; sorted by name."""
        found: dict[str, tuple[list[int], list[int]]] = {}
        held_out = self._pictograms.styles.index(HELD_OUT_STYLE)
        for row in self._pictograms.select(held_out=new_concepts).tolist():
            name = self._pictograms.concepts[self._pictograms.concept[row]].name
            if is_thing(name):
                found.setdefault(name, ([], []))[int(self._pictograms.style[row] == held_out)].append(row)
        return dict(sorted(found.items()))

    def _place(
        self, pool: str, things: Mapping[str, tuple[list[int], list[int]]], alone: int, several: int
    ) -> list[str]:
        """Adds the scenes of one pool; returns their ids."""
        names = list(things)
        ids = []
        shown: list[tuple[str, ...]] = [(name,) for name in names for _ in range(alone)]
        for count in (2, 3):
            shown += [_different(f"{VERSION}/{self.name}/{pool}/{count}/{i}", names, count) for i in range(several)]
        numbers = {1: 0, 2: 0, 3: 0}
        for group in shown:
            image_id = f"{pool}/{len(group)}/{numbers[len(group)]:04d}"
            numbers[len(group)] += 1
            key = f"{VERSION}/{self.name}/{image_id}"
            parts = []
            for i, (name, box) in enumerate(zip(group, boxes(key, len(group)), strict=True)):
                rows = things[name][pool == "query"]
                parts.append(_Part(rows[pick(f"{key}/style/{i}", len(rows))], box))
            self._scenes[image_id] = tuple(parts)
            ids.append(image_id)
        return ids

    def _annotate(self, image_id: str, parts: Sequence[_Part]) -> Annotations:
        things = [Thing(self._name(part), part.box, self._colour(part.row)) for part in parts]
        asked = [Question(f"{image_id}/{name}", text, answers, name) for name, text, answers in questions(things)]
        return Annotations(captions(things), tuple(asked))

    def _name(self, part: _Part) -> str:
        return self._pictograms.concepts[self._pictograms.concept[part.row]].name

    def _colour(self, row: int) -> str | None:
        if row not in self._colours:
            self._colours[row] = main_colour(self._pictograms.pixels[row])
        return self._colours[row]

    def _classes(self) -> tuple[ClassImages, ...]:
        pools: dict[str, dict[str, list[str]]] = {}
        for image_id, parts in self._scenes.items():
            if len(parts) == 1:
                pools.setdefault(self._name(parts[0]), {"support": [], "query": []})[image_id.split("/")[0]].append(
                    image_id
                )
        return tuple(ClassImages(name, tuple(ids["support"]), tuple(ids["query"])) for name, ids in pools.items())

    def _hash(self) -> str:
        """sha256 over the pictograms' file and all boxes and annotations; the pixels follow from these."""
        total = hashlib.sha256(f"{VERSION}\n{self._pictograms.fingerprint}\n".encode())
        for image_id, parts in sorted(self._scenes.items()):
            where = [(part.row, part.box.left, part.box.top, part.box.size) for part in parts]
            total.update(f"{image_id} {where} {hashed_text(self.annotations[image_id])}\n".encode())
        return total.hexdigest()

    def image(self, image_id: str) -> np.ndarray:
        """[64, 64, 3] uint8 RGB. Raises DataError for an id that is not of this set."""
        parts = self._parts(image_id)
        return paint([self._pictograms.pixels[part.row] for part in parts], [part.box for part in parts])

    def image_digest(self, image_id: str) -> str:
        """sha256 of the pixels. Raises DataError for an id that is not of this set."""
        return hashlib.sha256(self.image(image_id).tobytes()).hexdigest()

    def _parts(self, image_id: str) -> tuple[_Part, ...]:
        if image_id not in self._scenes:
            raise DataError(
                f"{self.name} has no scene {image_id!r}: ids read <support or query>/<things>/<number>, as listed"
            )
        return self._scenes[image_id]


def is_thing(name: str) -> bool:
    """True for one lower-case word in the singular that names a thing: 'lion', not 'grapes' or 'fog'."""
    plural = name.endswith("s") and not name.endswith(("ss", "us"))
    return ONE_WORD.fullmatch(name) is not None and not plural and name not in NO_THING


def _different(key: str, names: Sequence[str], count: int) -> tuple[str, ...]:
    """`count` different names, in the order sampled."""
    left = list(names)
    return tuple(left.pop(pick(f"{key}/{i}", len(left))) for i in range(count))


@functools.lru_cache(maxsize=2)
def open_scenes(new_concepts: bool = False) -> SceneSet:
    """The set `scenes`, made once per process (about a second after the pictograms are loaded)."""
    return SceneSet(new_concepts)


def new_scenes() -> SceneSet:
    """The set `scenes-new`: things that training never saw."""
    return open_scenes(True)
