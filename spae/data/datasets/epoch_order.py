"""Which rows a step shows: every row once an epoch, reshuffled, as a pure function of seed and step.

M training rows, B global batch.
"""

from __future__ import annotations

import functools

import numpy as np


class EpochOrder:
    """Args:
    rows: [M] the rows of an epoch.
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
        """The order in which the epoch of the run's `index`-th row goes, and that row's place in it."""
        epoch, place = divmod(index, len(self._rows))
        return self._order(epoch), place


def rng_of(seed: int, step: int, row: int) -> np.random.Generator:
    """The only source of chance for one row of a step's global batch."""
    return np.random.Generator(np.random.PCG64([seed, step, row, 0x5BAE]))
