"""The embedded pictograms as `TrainingData`: images, or clips of an image that moves.

B global batch, S stored side, R side of the model, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from spae.data.datasets.corrupt_files import Problems
from spae.data.datasets.protocol import EVALUATED, TrainingBatch
from spae.data.embedded.pictograms import Pictograms, load_pictograms
from spae.data.embedded.training_pictograms import without_colour
from spae.training.images import PictogramBatches, held_out_images

MORE = "pictograms-more"
STEP_SEED = 1_000_003
TRAVEL = 0.35
"""Greatest shift over a clip, in halves of an image's side."""
GROWTH = 0.3
TURN = 0.35


class PictogramData:
    """Batches of the embedded pictograms; held out: every image of the style that is never trained on.

    Args:
        batch: B.
        size: R.
        frames: T; 0 gives images.
        seed: of the run.
        strength: of the random changes.
        pictograms: the set; None loads the embedded one.
        name: of the data; `pictograms-more` where the set has further styles to train on. Many of those are black on
            white: they come last in their batches, so that a recipe that draws a part of each draws with colours.
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
        self.problems = Problems(total=rows)
        self.fingerprint = self.pictograms.fingerprint
        kind = f"embedded {name}{', moving' if frames else ''}"
        self.title = f"{kind}: {len(self.classes)} concepts, {rows} images"

    def at(self, step: int, rows: slice | None = None) -> TrainingBatch:
        """See `TrainingData.at`. The whole batch is made and cut: its chance is drawn for all rows at once."""
        return self.drawn(step, torch.Generator().manual_seed(self.seed * STEP_SEED + step), rows)

    def drawn(self, step: int, generator: torch.Generator, rows: slice | None = None) -> TrainingBatch:
        """The same from a generator that the caller goes on with: nothing else is drawn from than what `at` draws."""
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
        """Nothing is open."""

    def _names(self, labels: Tensor) -> tuple[str, ...]:
        return tuple(self.pictograms.concepts[label].id for label in labels.tolist())


def moving(images: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Clips in which each image shifts, grows or shrinks, and turns at a steady pace.

    Args:
        images: [B, 3, R, R] in [-1, 1], white where nothing is drawn.
        frames: T; the image as it is stands in the middle of the clip.
        generator: draws each image's movement.

    Returns: [B, 3, T, R, R].
    """
    batch = len(images)
    drawn = torch.rand(batch, 4, generator=generator) * 2 - 1
    time = torch.linspace(-0.5, 0.5, frames) if frames > 1 else torch.zeros(1)
    shift = drawn[:, None, :2] * TRAVEL * time[None, :, None]
    scale, angle = torch.exp(drawn[:, 2:3] * GROWTH * time), drawn[:, 3:4] * TURN * time
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = [torch.stack([cos, -sin, shift[..., 0]], -1), torch.stack([sin, cos, shift[..., 1]], -1)]
    theta = torch.stack(rows, 2).flatten(0, 1)
    still = images[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
    grid = F.affine_grid(theta, list(still.shape), align_corners=False)
    # White is 1: what comes in from outside is white.
    moved = F.grid_sample(still - 1, grid, align_corners=False) + 1
    return moved.unflatten(0, (batch, frames)).transpose(1, 2).clamp(-1, 1).contiguous()
