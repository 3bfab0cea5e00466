"""Digits to train on: the committed sample of MNIST, or the four IDX files of the whole of it.

As in appendix B.1 of arXiv 2306.17842: 28x28 padded to 32x32. Nothing is changed by chance: a digit that is mirrored or
turned is no digit. Labels are the English number words; the paper does not print how it wrote them.

N digits, B global batch, R rows asked for, S side.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from spae.data.datasets.corrupt_files import CorruptFiles
from spae.data.datasets.idx import FILES, read_idx
from spae.data.datasets.indexed import EpochOrder
from spae.data.datasets.protocol import EVALUATED, TrainingBatch
from spae.data.embedded.mnist import SIDE, load_mnist_sample
from spae.errors import DataError

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class MnistTraining:
    """A `TrainingData` in memory; the test file is what it holds out.

    Args:
        images, labels: [N, 28, 28] and [N] uint8 of the training file.
        test_images, test_labels: of the test file.
        name: how the user called it.
        size: S, at least 28; the border is black.
        batch: B.
        seed: of the run.
    """

    classes: tuple[str, ...] = WORDS
    unnamed = 0

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        test_images: np.ndarray,
        test_labels: np.ndarray,
        *,
        name: str,
        size: int,
        batch: int,
        seed: int,
    ) -> None:
        if size < SIDE:
            raise DataError(f"MNIST digits are padded, not shrunk: size must be at least {SIDE}, got {size}")
        self._images, self._labels = images, labels
        self._test_images, self._test_labels = test_images, test_labels
        self.name, self.batch, self._size = name, batch, size
        self.title = f"MNIST, {len(images):,} digits to train on, {len(test_images):,} held out"
        self.corrupt_files = CorruptFiles(total=len(images))
        total = hashlib.sha256()
        for array in (images, labels, test_images, test_labels):
            total.update(array.tobytes())
        self.fingerprint = total.hexdigest()
        self._order = EpochOrder(np.arange(len(images)), seed)

    def at(self, step: int, rows: slice | None = None) -> TrainingBatch:
        """Digits [R, 3, S, S] of the step; see `TrainingData.at`."""
        chosen = []
        for row in range(self.batch)[rows if rows is not None else slice(None)]:
            order, place = self._order.place(step * self.batch + row)
            chosen.append(int(order[place]))
        return self._made("train", self._images, self._labels, chosen)

    def held_out(self, limit: int | None = EVALUATED) -> TrainingBatch:
        """Digits of the test file; see `TrainingData.held_out`."""
        count = len(self._test_images)
        chosen = np.linspace(0, count - 1, min(count, limit if limit is not None else count)).round().astype(int)
        return self._made("test", self._test_images, self._test_labels, chosen.tolist())

    def close(self) -> None:
        """Nothing is open."""

    def _made(self, part: str, images: np.ndarray, labels: np.ndarray, rows: list[int]) -> TrainingBatch:
        border = self._size - SIDE
        sides = (border // 2, border - border // 2)
        padded = np.pad(images[rows], ((0, 0), sides, sides)).astype(np.float32) / 127.5 - 1
        pixels = torch.from_numpy(padded)[:, None].repeat(1, 3, 1, 1)
        names = tuple(f"{part}/{row:05d}" for row in rows)
        return TrainingBatch(pixels, torch.from_numpy(labels[rows].astype(np.int64)), names)


def open_mnist(location: str, *, size: int, batch: int, seed: int) -> MnistTraining:
    """The committed sample (location "") or a folder of the four IDX files, gzipped or not.

    Raises:
        DataError: a file is missing or is not what its name says.
    """
    if not location:
        sample = load_mnist_sample()
        arrays = (sample.train_images, sample.train_labels, sample.test_images, sample.test_labels)
        return MnistTraining(*arrays, name="mnist", size=size, batch=batch, seed=seed)
    images, labels, test_images, test_labels = (read_idx(Path(location), name) for name in FILES)
    for one, other in ((images, labels), (test_images, test_labels)):
        if one.shape[1:] != (SIDE, SIDE) or other.shape != one.shape[:1] or not len(one) or other.max() > 9:
            raise DataError(
                f"{location} has images {list(one.shape)} for labels {list(other.shape)}, expected [N, 28, 28] and [N] "
                "of 0 to 9: download the four files of MNIST again"
            )
    return MnistTraining(
        images, labels, test_images, test_labels, name=f"mnist:{location}", size=size, batch=batch, seed=seed
    )
