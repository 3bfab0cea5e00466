"""Digits to train on: the committed sample of MNIST, or the four IDX files of all of it.

As in appendix B.1 of arXiv 2306.17842: 28x28 padded to 32x32. Nothing is augmented: a mirrored or
turned digit is no digit. Labels are the English number words; the paper does not print how it wrote them.

N digits, B global batch, R rows asked for, S side.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from spae.data.datasets.corrupt_files import CorruptFiles
from spae.data.datasets.indexed import EpochOrder
from spae.data.datasets.protocol import EVALUATED, TrainingBatch
from spae.data.embedded.mnist import SIDE, Digits, arrays_digest, load_mnist_sample, read_mnist
from spae.errors import DataError

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class MnistTraining:
    """A `TrainingData` in memory; the test file is what it holds out.

    Args:
        digits: training and test digits.
        name: as the user typed it.
        size: S, at least 28; the border is black.
        batch: B.
        seed: of the run.
    """

    classes: tuple[str, ...] = WORDS
    unnamed = 0

    def __init__(self, digits: Digits, *, name: str, size: int, batch: int, seed: int) -> None:
        if size < SIDE:
            raise DataError(f"MNIST digits are padded, not shrunk: size must be at least {SIDE}, got {size}")
        self._digits = digits
        self.name, self.batch, self._size = name, batch, size
        count = len(digits.train_labels)
        self.title = f"MNIST, {count:,} digits to train on, {len(digits.test_labels):,} held out"
        self.corrupt_files = CorruptFiles(total=count)
        self.fingerprint = arrays_digest(
            digits.train_images, digits.train_labels, digits.test_images, digits.test_labels
        )
        self._order = EpochOrder(np.arange(count), seed)

    def at(self, step: int, rows: slice | None = None) -> TrainingBatch:
        """Digits [R, 3, S, S] of the step; see `TrainingData.at`."""
        chosen = []
        for row in range(self.batch)[rows if rows is not None else slice(None)]:
            order, place = self._order.place(step * self.batch + row)
            chosen.append(int(order[place]))
        return self._made("train", self._digits.train_images, self._digits.train_labels, chosen)

    def held_out(self, limit: int | None = EVALUATED) -> TrainingBatch:
        """Digits of the test file; see `TrainingData.held_out`."""
        count = len(self._digits.test_labels)
        chosen = np.linspace(0, count - 1, min(count, limit if limit is not None else count)).round().astype(int)
        return self._made("test", self._digits.test_images, self._digits.test_labels, chosen.tolist())

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
    digits = read_mnist(Path(location)) if location else load_mnist_sample()
    name = f"mnist:{location}" if location else "mnist"
    return MnistTraining(digits, name=name, size=size, batch=batch, seed=seed)
