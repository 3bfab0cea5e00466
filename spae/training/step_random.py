"""All randomness of one step, sampled for the whole batch before any of it is computed.

So a resumed run samples what an uninterrupted one does, and a shard of a batch, on whichever process and in whichever
microbatch, is given its own rows of the same samples.

B global batch, R rows of a shard, n samples a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spae.losses.semantic import SemanticRandom, semantic_random
from spae.pyramid import Pyramid
from spae.training.recipe import Recipe

STEP_STRIDE = 1_000_003


def step_seed(seed: int, step: int) -> int:
    """The seed of all randomness of step `step` of a run."""
    return seed * STEP_STRIDE + step


@dataclass(frozen=True)
class BatchShard:
    """The rows of a global batch that one microbatch of one process takes: of the decoded ones, and of the rest.

    Every shard has as many of each, so that the mean of the shards' means is the mean of the whole.
    """

    decoded: slice
    rest: slice

    @classmethod
    def of(cls, shard: int, shards: int, decoded: int, batch_size: int) -> BatchShard:
        """Shard `shard` of `shards` of a batch whose first `decoded` rows are decoded; all divisible by `shards`."""
        some, others = decoded // shards, (batch_size - decoded) // shards
        return cls(
            slice(shard * some, (shard + 1) * some), slice(decoded + shard * others, decoded + (shard + 1) * others)
        )

    def shifted(self, start: int) -> BatchShard:
        """The same rows in a batch that begins at row `start` of the whole."""
        decoded, rest = (slice(one.start - start, one.stop - start) for one in (self.decoded, self.rest))
        return BatchShard(decoded, rest)

    def take(self, rows: Tensor) -> Tensor:
        """[B, ...] -> the shard's rows, the decoded ones first."""
        if self.rest.start == self.rest.stop:
            return rows[self.decoded]
        return torch.cat([rows[self.decoded], rows[self.rest]])


class UniformRows:
    """Uniform samples for whichever rows ask, the same for each call in turn.

    Args:
        generator: of the step; used when the first shard asks.
        batch_size: B.
    """

    def __init__(self, generator: torch.Generator, batch_size: int) -> None:
        self._generator = generator
        self._batch_size = batch_size
        self._made: list[Tensor] = []

    def call(self, place: int, count: int) -> Tensor:
        """[B, n] of the call number `place`."""
        while len(self._made) <= place:
            self._made.append(torch.rand(self._batch_size, count, generator=self._generator))
        return self._made[place]


class ShardUniform:
    """The source of randomness that a model is given: n -> [R, n] in [0, 1). Each shard has one of its own."""

    def __init__(self, rows: UniformRows, own: slice) -> None:
        self._rows = rows
        self._own = own
        self._calls = 0

    def __call__(self, count: int) -> Tensor:
        self._calls += 1
        return self._rows.call(self._calls - 1, count)[self._own]


@dataclass(frozen=True)
class ShardRandom:
    """The randomness of one shard.

    Attributes:
        depths: [R] number of layers that each image is decoded from; None in steps that decode nothing.
        semantic: of the semantic loss, for all rows, the decoded ones first; None without one.
        uniform: for models that sample themselves.
    """

    depths: Tensor | None
    semantic: SemanticRandom | None
    uniform: ShardUniform


class StepRandom:
    """The randomness of one step for the whole batch, in a fixed order of sampling.

    Args:
        recipe: shares and sizes.
        pyramid: the model's layers.
        step: of the run.
        generator: of the step; the data may have sampled from it.
    """

    def __init__(self, recipe: Recipe, pyramid: Pyramid, step: int, generator: torch.Generator) -> None:
        semantics, data = recipe.semantics, recipe.data
        decoded = 0 if step < semantics.semantic_warmup_steps else data.images_decoded
        dropout = recipe.appearance.layer_dropout
        self.depths = sample_depths(decoded, pyramid.depth, dropout, generator) if decoded else None
        self.semantic: SemanticRandom | None = None
        if semantics.thresholds:
            sizes = [math.prod(grid) for grid in pyramid.layers[: len(semantics.thresholds)]]
            self.semantic = semantic_random(
                sizes, data.batch_size, semantics.semantic_positions, semantics.target, generator
            )
        self._rows = UniformRows(generator, decoded)

    def shard(self, shard: BatchShard) -> ShardRandom:
        """The randomness of a shard of the batch."""
        semantic = self.semantic
        if semantic is not None:
            words = tuple(None if one is None else shard.take(one) for one in semantic.words)
            semantic = SemanticRandom(semantic.positions, words)
        depths = None if self.depths is None else self.depths[shard.decoded]
        return ShardRandom(depths, semantic, ShardUniform(self._rows, shard.decoded))


def sample_depths(images: int, depth: int, dropout: float, generator: torch.Generator) -> Tensor:
    """[images] number of layers to decode each from: all `depth`, or fewer for a part `dropout` of the images."""
    depths = torch.full((images,), depth)
    if depth == 1:
        return depths
    partial = torch.rand(images, generator=generator) < dropout
    return torch.where(partial, torch.randint(1, depth, (images,), generator=generator), depths)
