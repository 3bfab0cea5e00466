"""Training batches of numbered samples: shuffled, decoded by threads, prepared ahead.

B global batch, R rows asked for, S side, T frames, M training rows.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import torch

from spae.data.datasets.protocol import EVALUATED, TrainingBatch
from spae.data.datasets.sample_source import SampleSource
from spae.errors import CorruptImage, DataError

_log = logging.getLogger(__name__)

AHEAD = 2
"""Steps prepared while the trainer works on one: memory for so many batches, no more."""


class EpochOrder:
    """Which samples a step shows: each once an epoch, in a new order, as a pure function of seed and step.

    Args:
        rows: [M] numbers of the samples of an epoch.
        seed: of the run.
    """

    def __init__(self, rows: np.ndarray, seed: int) -> None:
        self._rows = rows.astype(np.int32 if not len(rows) or rows.max() < 2**31 else np.int64)
        self._seed = seed
        # A batch may reach over the end of an epoch, and steps ahead are prepared: two orders are in use at most.
        self._order = functools.lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> np.ndarray:
        shuffled = np.random.Generator(np.random.PCG64([self._seed, epoch])).permutation(self._rows)
        shuffled.flags.writeable = False
        return shuffled

    def place(self, index: int) -> tuple[np.ndarray, int]:
        """The order of the epoch that the run's `index`-th row is in, and the row's place in it."""
        epoch, place = divmod(index, len(self._rows))
        return self._order(epoch), place


def rng_of(seed: int, step: int, row: int) -> np.random.Generator:
    """The random generator of one row of a step's global batch."""
    return np.random.Generator(np.random.PCG64([seed, step, row, 0x5BAE]))


class Loader(Protocol):
    """Decodes one sample."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[S, S, 3] or [T, S, S, 3]."""
        ...

    def load(self, source: Path | BinaryIO, shown: str, rng: np.random.Generator | None) -> np.ndarray:
        """uint8 of `shape`; with rng None as in evaluation. Raises CorruptImage."""
        ...


@dataclass(frozen=True)
class _Job:
    """A step in preparation. The threads fill `images`; each future gives the number of the sample that was used.

    Attributes:
        meant: numbers of the samples that the rows show, if they can be used.
    """

    images: np.ndarray
    meant: list[int]
    rows: list[Future[int]]

    def cancel(self) -> None:
        for row in self.rows:
            row.cancel()


class IndexedData:
    """A `TrainingData` over a `SampleSource`.

    A corrupt sample is replaced by the next good one in the epoch's order, and a batch that shows one twice is counted.
    The replacement depends on the data alone, so a resumed
    run and any number of processes replace it alike.

    Args:
        source: the samples.
        loader: decodes one.
        batch: B.
        seed: of the run.
        workers: threads; Pillow and PyAV release the interpreter lock while they decode.
        ahead: steps prepared ahead.
    """

    def __init__(
        self,
        source: SampleSource,
        loader: Loader,
        *,
        batch: int,
        seed: int,
        workers: int | None = None,
        ahead: int = AHEAD,
    ) -> None:
        if not len(source.train):
            raise DataError(f"{source.name} has no sample to train on: {source.title}")
        self.source, self.loader, self.batch, self.seed = source, loader, batch, seed
        self.name, self.title, self.fingerprint = source.name, source.title, source.fingerprint
        self.classes, self.unnamed, self.corrupt_files = source.classes, source.unnamed, source.corrupt_files
        if len(source.train) < batch:
            _log.warning(
                "%s has %d samples to train on, a batch has %d: it shows some of them more than once",
                source.name, len(source.train), batch,
            )  # fmt: skip
        self._order = EpochOrder(source.train, seed)
        self._ahead = ahead
        self._jobs: dict[tuple[int, range], _Job] = {}
        self._pool = ThreadPoolExecutor(workers or min(16, os.cpu_count() or 1), thread_name_prefix="spae-data")
        self._closed = False

    def at(self, step: int, rows: slice | None = None) -> TrainingBatch:
        """The samples of `step`; preparation of the next steps starts. See `TrainingData.at`."""
        if self._closed:
            raise DataError(f"{self.name} was closed: open it again to read on")
        wanted = range(self.batch)[rows if rows is not None else slice(None)]
        ahead = [(later, wanted) for later in range(step, step + self._ahead + 1)]
        for key in [key for key in self._jobs if key not in ahead]:
            self._jobs.pop(key).cancel()
        for key in ahead:
            if key not in self._jobs:
                self._jobs[key] = self._begin(*key)
        return self._finish(self._jobs.pop((step, wanted)))

    def held_out(self, limit: int | None = EVALUATED) -> TrainingBatch:
        """The held-out samples, cropped to the center. A corrupt one is left out and counted."""
        rows = self.source.held_out
        if not len(rows):
            raise DataError(f"{self.name} holds nothing out: give a folder or split for evaluation")
        if limit is not None and limit < len(rows):
            rows = rows[np.linspace(0, len(rows) - 1, limit).round().astype(np.int64)]
        images = self._room(len(rows))

        def load(place: int) -> int:
            try:
                self._load(int(rows[place]), None, images[place])
            except CorruptImage as error:
                self.corrupt_files.add(self.source.sample_name(int(rows[place])), str(error))
                return -1
            return int(rows[place])

        used = np.array(list(self._pool.map(load, range(len(rows)))))
        if not (used >= 0).any():
            raise DataError(f"no held-out sample of {self.name} can be used: {self.corrupt_files.summary()}")
        return self._batch(images[used >= 0], used[used >= 0].tolist())

    def close(self) -> None:
        """Stops the threads after the samples they decode."""
        self._closed = True
        for job in self._jobs.values():
            job.cancel()
        self._jobs.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, step: int, wanted: range) -> _Job:
        images = self._room(len(wanted))

        # Looked up in the caller's thread, so that the order of an epoch is shuffled once.
        places = [self._order.place(step * self.batch + row) for row in wanted]

        def task(place: int, row: int) -> Callable[[], int]:
            return lambda: self._fill(images[place], *places[place], step, row)

        rows = [self._pool.submit(task(place, row)) for place, row in enumerate(wanted)]
        return _Job(images, [int(order[start]) for order, start in places], rows)

    def _fill(self, out: np.ndarray, order: np.ndarray, start: int, step: int, row: int) -> int:
        """Decodes the sample at `start`, or the next good one, into `out`."""
        for place in range(start, start + len(order)):
            chosen = int(order[place % len(order)])
            self.corrupt_files.used()
            try:
                self._load(chosen, rng_of(self.seed, step, row), out)
            except CorruptImage as error:
                self.corrupt_files.add(self.source.sample_name(chosen), str(error))
            else:
                return chosen
        raise DataError(f"no sample of {self.name} can be used: {self.corrupt_files.summary()}")

    def _load(self, row: int, rng: np.random.Generator | None, out: np.ndarray) -> None:
        pixels = self.loader.load(self.source.content(row), self.source.sample_name(row), rng)
        # Channels first; [T, S, S, 3] -> [3, T, S, S] likewise. Moved as bytes: a quarter of the memory to stride over.
        np.multiply(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)), np.float32(1 / 127.5), out=out)
        np.subtract(out, np.float32(1), out=out)

    def _finish(self, job: _Job) -> TrainingBatch:
        try:
            used = [row.result() for row in job.rows]
            if used != job.meant:
                self.corrupt_files.replaced(*(list(map(self.source.sample_name, one)) for one in (job.meant, used)))
            return self._batch(job.images, used)
        except BaseException:
            job.cancel()
            raise

    def _room(self, rows: int) -> np.ndarray:
        *sides, channels = self.loader.shape
        return np.empty((rows, channels, *sides), dtype=np.float32)

    def _batch(self, images: np.ndarray, rows: list[int]) -> TrainingBatch:
        labels = torch.from_numpy(self.source.labels[rows].astype(np.int64))
        return TrainingBatch(torch.from_numpy(images), labels, tuple(self.source.sample_name(row) for row in rows))
