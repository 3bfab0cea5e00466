"""Images that come with text about them: captions, or questions and their answers.

COCO_val2014_000000391895.jpg    captions   "A man with a red helmet on a small moped on a dirt road."
                                            "Man riding a motor bike on a dirt road on the countryside."
                                 questions  "what is the man riding ?" -> ("moped",)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from spae.canonical import composed
from spae.data.protocol import ClassImages, ImageSet


@dataclass(frozen=True)
class Question:
    """One question about one image.

    Attributes:
        id: unique in its set.
        text: one line, not empty.
        answers: every answer that counts as right, the first the one that prompts show; each one line, not empty.
        question_type: as the data names it ("object", "number", "color", "location"); "" for none.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    question_type: str = ""


@dataclass(frozen=True)
class Annotations:
    """Captions and questions of one image.

    Attributes:
        captions: sentences, each one line, not empty; () where the data has none.
        questions: () where the data has none.
    """

    captions: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()


def hashed_text(one: Annotations) -> str:
    """Annotations as the fingerprints of embedded sets spell them; a change would void published manifests."""
    questions = [
        f"Question(id={q.id!r}, text={q.text!r}, answers={q.answers!r}, kind={q.question_type!r})"
        for q in one.questions
    ]
    # As Python writes a tuple: one element is followed by a comma.
    listed = f"({questions[0]},)" if len(questions) == 1 else f"({', '.join(questions)})"
    return f"Annotations(captions={one.captions!r}, questions={listed})"


@runtime_checkable
class AnnotatedSet(Protocol):
    """A `ImageSet` whose images come with captions or questions.

    Attributes:
        name, title, embedded, classes: as of a `ImageSet`; `classes` is () where images have none.
        fingerprint: sha256 over ids, annotations and image bytes; of files that may be gigabytes, over their names and
            sizes instead: `image_digest` then covers the bytes of the images that are used.
        support: ids of images that may stand in a prompt as examples, sorted.
        query: ids of images that may be asked about, sorted. The two may share ids: no sample shows its own query.
        annotations: by image id, of every id in `support` and `query`.
    """

    name: str
    title: str
    embedded: bool
    fingerprint: str
    classes: tuple[ClassImages, ...]
    support: tuple[str, ...]
    query: tuple[str, ...]
    annotations: Mapping[str, Annotations]

    def image(self, image_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown id."""
        ...

    def image_digest(self, image_id: str) -> str:
        """sha256 of the image as it is stored. Raises DataError for an unknown id or a file that cannot be read."""
        ...


def query_images(data: ImageSet) -> dict[str, str]:
    """Every image that may be asked about, in the set's order, and its class or first caption."""
    if isinstance(data, AnnotatedSet):
        said = {name: data.annotations[name] for name in data.query}
        return {name: next(iter(one.captions), name) for name, one in said.items()}
    found: dict[str, str] = {}
    for group in data.classes:
        for name in group.query:
            found.setdefault(name, group.name)
    return found


def one_line(text: str) -> str:
    """The text in NFC, every run of white space as one space: captions as published have line breaks in them."""
    return " ".join(composed(text).split())
