"""All chance of one step, drawn for the whole batch before any of it is computed.

So a resumed run draws what an unbroken one draws, and a part of a batch, on whichever process and in whichever share of
an accumulated step, is given its own rows of the same draws.

B global batch, R rows of a part, n draws a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spae.losses.semantic import SemanticRandom

STEP_STRIDE = 1_000_003


def step_seed(seed: int, step: int) -> int:
    """The seed of everything that step `step` of a run draws."""
    return seed * STEP_STRIDE + step


class Rows:
    """Uniform draws for whichever rows ask, the same for each call in turn.

    Args:
        generator: of the step; used when the first part asks.
        batch: B.
    """

    def __init__(self, generator: torch.Generator, batch: int) -> None:
        self._generator = generator
        self._batch = batch
        self._made: list[Tensor] = []

    def call(self, place: int, count: int) -> Tensor:
        """[B, n] of the call number `place`."""
        while len(self._made) <= place:
            self._made.append(torch.rand(self._batch, count, generator=self._generator))
        return self._made[place]


class Uniform:
    """What a model is handed for chance: n -> [R, n] in [0, 1). Each part has one of its own."""

    def __init__(self, rows: Rows, own: slice) -> None:
        self._rows = rows
        self._own = own
        self._calls = 0

    def __call__(self, count: int) -> Tensor:
        self._calls += 1
        return self._rows.call(self._calls - 1, count)[self._own]


@dataclass(frozen=True)
class Draws:
    """The chance of a step, or of a part of its batch.

    Attributes:
        depths: [drawn] layers that each image is drawn from; None where nothing is drawn.
        semantic: of the semantic loss, for all rows, the drawn ones first; None without one.
        uniform: for what a model draws itself.
    """

    depths: Tensor | None
    semantic: SemanticRandom | None
    uniform: Uniform


@dataclass(frozen=True)
class Share:
    """The rows of a global batch that one part of one process takes: of the drawn ones, and of the rest.

    Every share has as many of each, so that the mean of the parts' means is the mean of the whole.
    """

    drawn: slice
    rest: slice

    @classmethod
    def of(cls, part: int, parts: int, drawn: int, batch: int) -> Share:
        """Share number `part` of `parts` of a batch whose first `drawn` rows are drawn; all divisible by `parts`."""
        some, others = drawn // parts, (batch - drawn) // parts
        return cls(
            slice(part * some, (part + 1) * some), slice(drawn + part * others, drawn + (part + 1) * others)
        )  # fmt: skip

    def shifted(self, start: int) -> Share:
        """The same rows in a batch that begins at row `start` of the whole."""
        drawn, rest = (slice(one.start - start, one.stop - start) for one in (self.drawn, self.rest))
        return Share(drawn, rest)

    def take(self, rows: Tensor) -> Tensor:
        """[B, ...] -> the share's rows, the drawn ones first."""
        if self.rest.start == self.rest.stop:
            return rows[self.drawn]
        return torch.cat([rows[self.drawn], rows[self.rest]])
