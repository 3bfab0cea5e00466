"""The embedded pictograms as training batches and as a held-out set.

B batch, S stored side, R side of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spae.data.pictograms import HELD_OUT_STYLE, Pictograms, load_pictograms
from spae.tokenizers.model import to_tensor
from spae.training.augment import augment
from spae.training.recipe import Recipe


def shrink(pictures: Tensor, size: int) -> Tensor:
    """[B, 3, S, S] -> [B, 3, R, R], each pixel the mean of those it covers."""
    return F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


@dataclass(frozen=True)
class PictogramBatches:
    """Batches that depend on recipe and step alone, so that a resumed run sees what an unbroken one sees.

    Args:
        pictograms: the embedded set.
        recipe: batch B, size R, seed, strength of the random changes.
    """

    pictograms: Pictograms
    recipe: Recipe

    def at(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures [B, 3, R, R] in [-1, 1] and concepts [B] of `step`: epochs of all training rows, shuffled anew."""
        recipe, rows = self.recipe, self.pictograms.train_rows()
        epoch, place = divmod(step * recipe.batch, len(rows))
        order = np.concatenate([self._order(epoch, rows), self._order(epoch + 1, rows)])
        chosen = order[place : place + recipe.batch]
        pictures = to_tensor(self.pictograms.pixels[chosen])
        if recipe.blend:
            alone = 0 if step < recipe.words_first else recipe.drawn
            pictures[alone:] = self._blended(pictures[alone:], chosen[alone:], generator)
        pictures = augment(pictures, recipe.size, generator, recipe.augment, recipe.bend)
        return pictures, torch.from_numpy(self.pictograms.concept[chosen])

    def _blended(self, pictures: Tensor, rows: np.ndarray, generator: torch.Generator) -> Tensor:
        """Some of the pictures faded into their concept in another style (or the same): styles in between."""
        others = [self._styles[concept] for concept in self.pictograms.concept[rows]]
        draws = torch.rand(3, len(rows), generator=generator)
        partners = [styles[int(draw * len(styles))] for styles, draw in zip(others, draws[0].tolist(), strict=True)]
        share = draws[1] * (draws[2] < self.recipe.blend)
        return pictures.lerp(to_tensor(self.pictograms.pixels[partners]), share[:, None, None, None])

    @cached_property
    def _styles(self) -> dict[int, np.ndarray]:
        """The training rows of each concept."""
        rows = self.pictograms.train_rows()
        return {
            concept: rows[self.pictograms.concept[rows] == concept] for concept in set(self.pictograms.concept[rows])
        }

    def _order(self, epoch: int, rows: np.ndarray) -> np.ndarray:
        return np.random.Generator(np.random.PCG64([self.recipe.seed, epoch])).permutation(rows)


def held_out_pictures(pictograms: Pictograms, size: int, new_concepts: bool) -> tuple[Tensor, Tensor]:
    """Every picture of the held-out style, [P, 3, R, R] in [-1, 1], and its concept [P].

    Args:
        new_concepts: the concepts that training never sees, or those it sees in other styles.
    """
    rows = pictograms.select(styles=[HELD_OUT_STYLE], held_out=new_concepts)
    return shrink(to_tensor(pictograms.pixels[rows]), size), torch.from_numpy(pictograms.concept[rows])


def open_pictograms(recipe: Recipe) -> PictogramBatches:
    """The batches of a recipe over the embedded set."""
    return PictogramBatches(load_pictograms(), recipe)
