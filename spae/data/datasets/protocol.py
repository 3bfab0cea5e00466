"""Training data: batches of labelled images or videos.

B global batch, R rows of it asked for, H W side in pixels, T frames, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from spae.data.datasets.corrupt_files import CorruptFiles

EVALUATED = 1000
"""Held-out images that an evaluation takes by default."""


@dataclass(frozen=True)
class TrainingBatch:
    """Rows of one step.

    Attributes:
        images: [R, 3, H, W], or [R, 3, T, H, W] for videos, float32 in [-1, 1].
        labels: [R] int64, places in `TrainingData.classes`.
        names: R names, of the samples in messages ("n02129165/1.jpg").
    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@runtime_checkable
class TrainingData(Protocol):
    """Batches that depend on the data, the seed and the step alone.

    So a resumed run sees what an unbroken one sees, and any number of processes, each taking its rows of the global
    batch, see the same images as one.

    Attributes:
        name: as the user named it.
        title: one line with the kind and the number of samples.
        fingerprint: sha256 over what decides the batches of a seed, as far as it is known without reading
            every image (ids, classes, sizes of files).
        batch: B.
        classes: the label text of each of the K classes.
        unnamed: how many classes are called by an id or a number, because no file names them: unless it is 0,
            `classes` is of no use to a loss that reads label text.
        corrupt_files: the files that could not be used so far.
    """

    name: str
    title: str
    fingerprint: str
    batch: int
    classes: tuple[str, ...]
    unnamed: int
    corrupt_files: CorruptFiles

    def at(self, step: int, rows: slice | None = None) -> TrainingBatch:
        """The batch of `step` (from 0), or only these rows of it.

        Args:
            step: asked for in order, the next ones are prepared while the trainer works.
            rows: a slice of range(B); None takes all B.

        Raises:
            DataError: too many images could not be used; the message names the first.
        """
        ...

    def held_out(self, limit: int | None = EVALUATED) -> TrainingBatch:
        """Images that no step shows, for evaluation: not augmented, the same at every call.

        Args:
            limit: at most so many, spread evenly over the part that is held out; None takes all of it.

        Raises:
            DataError: nothing is held out, or too much of it cannot be used.
        """
        ...

    def close(self) -> None:
        """Stops the preparation of batches. May be called again."""
        ...
