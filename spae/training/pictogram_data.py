"""The embedded pictograms as `TrainingData`: images, or videos of an image that moves.

B global batch, N images of the set, P held-out images, S stored side, R side of the model, T frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spae.data.datasets.corrupt_files import CorruptFiles
from spae.data.datasets.protocol import EVALUATED, TrainingBatch
from spae.data.embedded.pictograms import HELD_OUT_STYLE, Pictograms, load_pictograms
from spae.data.embedded.training_pictograms import without_colour
from spae.tokenizers.model import to_tensor
from spae.training.augment import augment

MORE = "pictograms-more"
STEP_SEED = 1_000_003
TRAVEL = 0.35
"""Greatest shift over a video, in halves of an image's side."""
GROWTH = 0.3
TURN = 0.35


def shrink(images: Tensor, size: int) -> Tensor:
    """[B, 3, S, S] -> [B, 3, R, R], each pixel the mean of those it covers."""
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


@dataclass(frozen=True)
class PictogramBatches:
    """Batches that depend on seed and step alone, so that a resumed run sees what an uninterrupted one sees.

    Args:
        pictograms: the embedded set.
        batch: B.
        size: R.
        seed: of the run.
        strength: of the augmentation.
        last: [N] bool, images moved to the end of their batch, where a recipe that decodes a part of it skips them;
            None leaves the order as sampled.
    """

    pictograms: Pictograms
    batch: int
    size: int
    seed: int
    strength: float
    last: np.ndarray | None = None

    def at(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images [B, 3, R, R] in [-1, 1] and concepts [B] of `step`. Each epoch shuffles all training rows anew."""
        rows = self.pictograms.train_rows()
        epoch, place = divmod(step * self.batch, len(rows))
        order = np.concatenate([self._order(epoch, rows), self._order(epoch + 1, rows)])
        chosen = order[place : place + self.batch]
        if self.last is not None:
            chosen = chosen[np.argsort(self.last[chosen], kind="stable")]
        images = augment(to_tensor(self.pictograms.pixels[chosen]), self.size, generator, self.strength)
        return images, torch.from_numpy(self.pictograms.concept[chosen])

    def _order(self, epoch: int, rows: np.ndarray) -> np.ndarray:
        return np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(rows)


def held_out_images(pictograms: Pictograms, size: int, new_concepts: bool) -> tuple[Tensor, Tensor]:
    """Every image of the held-out style, [P, 3, R, R] in [-1, 1], and its concept [P].

    Args:
        new_concepts: True for the concepts that training never sees, False for those it sees in other styles.
    """
    rows = pictograms.select(styles=[HELD_OUT_STYLE], held_out=new_concepts)
    return shrink(to_tensor(pictograms.pixels[rows]), size), torch.from_numpy(pictograms.concept[rows])


class PictogramData:
    """Batches of the embedded pictograms; every image of one style is held out.

    Args:
        batch: B.
        size: R.
        frames: T; 0 gives images.
        seed: of the run.
        strength: of the augmentation.
        pictograms: the set; None loads the embedded one.
        name: `pictograms`, or `pictograms-more` for the set with further styles. Many of those are black on white:
            they come last in their batches, so that a recipe that decodes a part of each decodes coloured ones.
    """

    unnamed = 0

    def __init__(
        self,
        *,
        batch: int,
        size: int,
        frames: int,
        seed: int,
        strength: float,
        pictograms: Pictograms | None = None,
        name: str = "pictograms",
    ) -> None:
        self.name = name
        self.pictograms = pictograms or load_pictograms()
        last = without_colour(self.pictograms) if name == MORE else None
        self.batches = PictogramBatches(self.pictograms, batch, size, seed, strength, last)
        self.batch, self.size, self.frames, self.seed = batch, size, frames, seed
        self.classes = tuple(concept.name for concept in self.pictograms.concepts)
        rows = len(self.pictograms.train_rows())
        self.corrupt_files = CorruptFiles(total=rows)
        self.fingerprint = self.pictograms.fingerprint
        kind = f"embedded {name}{', moving' if frames else ''}"
        self.title = f"{kind}: {len(self.classes)} concepts, {rows} images"

    def at(self, step: int, rows: slice | None = None) -> TrainingBatch:
        """See `TrainingData.at`. The whole batch is made and cut: its randomness is sampled for all rows at once."""
        return self.sample(step, torch.Generator().manual_seed(self.seed * STEP_SEED + step), rows)

    def sample(self, step: int, generator: torch.Generator, rows: slice | None = None) -> TrainingBatch:
        """As `at`, with the randomness of a generator that the caller uses further."""
        images, labels = self.batches.at(step, generator)
        if self.frames:
            images = moving(images, self.frames, generator)
        part = rows if rows is not None else slice(None)
        return TrainingBatch(images[part], labels[part], self._names(labels[part]))

    def held_out(self, limit: int | None = EVALUATED) -> TrainingBatch:
        """The concepts trained on in other styles, then those never seen; see `TrainingData.held_out`."""
        parts = [held_out_images(self.pictograms, self.size, new) for new in (False, True)]
        images, labels = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        if limit is not None and limit < len(labels):
            chosen = torch.linspace(0, len(labels) - 1, limit).round().long()
            images, labels = images[chosen], labels[chosen]
        if self.frames:
            images = moving(images, self.frames, torch.Generator().manual_seed(0))
        return TrainingBatch(images, labels, self._names(labels))

    def close(self) -> None:
        """Nothing to close."""

    def _names(self, labels: Tensor) -> tuple[str, ...]:
        return tuple(self.pictograms.concepts[label].id for label in labels.tolist())


def moving(images: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Videos in which each image shifts, scales and turns at a constant speed.

    Args:
        images: [B, 3, R, R] in [-1, 1], on white.
        frames: T; the unchanged image is in the middle of the video.
        generator: samples each image's movement.

    Returns: [B, 3, T, R, R].
    """
    batch = len(images)
    motion = torch.rand(batch, 4, generator=generator) * 2 - 1
    time = torch.linspace(-0.5, 0.5, frames) if frames > 1 else torch.zeros(1)
    shift = motion[:, None, :2] * TRAVEL * time[None, :, None]
    scale, angle = torch.exp(motion[:, 2:3] * GROWTH * time), motion[:, 3:4] * TURN * time
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = [torch.stack([cos, -sin, shift[..., 0]], -1), torch.stack([sin, cos, shift[..., 1]], -1)]
    theta = torch.stack(rows, 2).flatten(0, 1)
    still = images[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
    grid = F.affine_grid(theta, list(still.shape), align_corners=False)
    # White is 1: what comes in from outside is white.
    moved = F.grid_sample(still - 1, grid, align_corners=False) + 1
    return moved.unflatten(0, (batch, frames)).transpose(1, 2).clamp(-1, 1).contiguous()
