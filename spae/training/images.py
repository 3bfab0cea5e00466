"""The embedded pictograms as training batches and as a held-out set.

B batch, S stored side, R side of the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spae.data.embedded.pictograms import HELD_OUT_STYLE, Pictograms, load_pictograms
from spae.tokenizers.model import to_tensor
from spae.training.augment import augment


def shrink(images: Tensor, size: int) -> Tensor:
    """[B, 3, S, S] -> [B, 3, R, R], each pixel the mean of those it covers."""
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


@dataclass(frozen=True)
class PictogramBatches:
    """Batches that depend on seed and step alone, so that a resumed run sees what an unbroken one sees.

    Args:
        pictograms: the embedded set.
        batch: B.
        size: R.
        seed: of the run.
        strength: of the random changes.
        last: [N] bool, images that come last in their batch, where a recipe that draws a part of it leaves them out;
            None leaves every batch as it was drawn.
    """

    pictograms: Pictograms
    batch: int
    size: int
    seed: int
    strength: float
    last: np.ndarray | None = None

    def at(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images [B, 3, R, R] in [-1, 1] and concepts [B] of `step`: epochs of all training rows, shuffled anew."""
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
        new_concepts: the concepts that training never sees, or those it sees in other styles.
    """
    rows = pictograms.select(styles=[HELD_OUT_STYLE], held_out=new_concepts)
    return shrink(to_tensor(pictograms.pixels[rows]), size), torch.from_numpy(pictograms.concept[rows])


def open_pictograms(batch: int, size: int, seed: int, strength: float) -> PictogramBatches:
    """The batches of a recipe over the embedded set."""
    return PictogramBatches(load_pictograms(), batch, size, seed, strength)
