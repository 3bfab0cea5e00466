"""Labelled samples as the `ImageSet` of an evaluation."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np

from spae.data.class_names import class_words, names_beside
from spae.data.datasets.samples import LabelledSamples
from spae.data.image_file import check_header, image_bytes, read_image
from spae.data.issues import Report, reported
from spae.data.protocol import ClassImages
from spae.errors import DataError


class SampleSet:
    """Images of one split; each may be an example and may be asked about.

    Every image is read once here, for its header and for the fingerprint, so that a broken one is named before anything
    is spent on the others; one that is damaged behind its header is found when it is decoded.

    Args:
        samples: as a reader found them.
        name: as the user typed it.
        classes: a file of class names; None takes the one beside the data, if any.

    Raises:
        DataError: fewer than two classes, or a class without a name of its own.
        CorruptImage: a sample whose header is no image's, or claims too many pixels.
    """

    embedded = False

    def __init__(self, samples: LabelledSamples, name: str, classes: Path | None = None) -> None:
        for bad in samples.bad.values():
            raise DataError(f"{samples.location}: {bad}")
        self.name = name
        self._samples = samples
        words = set_words(samples, classes)
        ids: dict[str, list[str]] = defaultdict(list)
        self._numbers: dict[str, int] = {}
        for number, code in enumerate(samples.codes.tolist()):
            self._numbers[samples.name(number)] = number
            ids[samples.labels[code]].append(samples.name(number))
        self.classes = tuple(
            ClassImages(words[label], *[tuple(ids[label])] * 2) for label in sorted(ids, key=lambda label: words[label])
        )
        self.title = f"{samples.title}: {len(self.classes)} classes, {len(samples):,} images{samples.passed_note}"
        self.fingerprint = self._hash()

    def _hash(self) -> str:
        """sha256 over class names, image ids and the bytes of every image, each header checked."""
        total = hashlib.sha256()
        for one in self.classes:
            total.update(f"{len(one.name)}:{one.name}\n".encode())
            for image_id in one.support:
                content = self._samples.content(self._numbers[image_id])
                check_header(content, f"{image_id} of {self.name}")
                raw = image_bytes(content) if isinstance(content, Path) else content.getvalue()
                total.update(f"{len(image_id)}:{image_id} {hashlib.sha256(raw).hexdigest()}\n".encode())
        return total.hexdigest()

    def image(self, image_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown id."""
        if image_id not in self._numbers:
            raise DataError(f"{self.name} has no image {image_id!r}: ids are those of its classes")
        return read_image(self._samples.content(self._numbers[image_id]), f"{image_id} of {self.name}")


def set_words(samples: LabelledSamples, classes: Path | None, report: Report | None = None) -> dict[str, str]:
    """Label -> text that an LLM is shown, of the labels that have samples.

    Args:
        samples: to be evaluated on.
        classes: a file of class names; None takes the one beside the data, if any.
        report: called with every issue; None raises the first.

    Raises:
        DataError: without `report`: fewer than two classes, or a class without a name of its own.
    """
    labels = samples.used_labels
    with reported(report, samples.file):
        if len(labels) < 2:
            held = f"one class ({labels[0]})" if labels else f"no class: {samples.layout}{samples.passed_note}"
            raise DataError(f"few-shot needs at least two classes, {samples.location} holds {held}")
    words: dict[str, str] = {}
    with reported(report, str(classes) if classes else "."):
        words = class_words(labels, names_beside(classes, samples.home), samples.home, report)
    return words
