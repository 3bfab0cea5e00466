"""The discriminator's side of a step: real images against redrawn ones, R1 and LeCAM.

    total = gan + r1_weight R1 + phi LeCAM

R1 may come every few steps only, and then counts so many times as much (arXiv 1912.04958, "lazy regularisation").
B rows of a part. Images [B, 3, H, W], clips [B, 3, T, H, W].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spae.errors import InputError
from spae.losses.adversarial import GanLoss, discriminator_terms
from spae.losses.lecam import LeCam
from spae.networks.autoencoder import NETWORKS
from spae.networks.discriminators import PatchDiscriminator, StyleGanDiscriminator
from spae.training.objective import Terms, as_images
from spae.training.recipe import Recipe

GAMES: dict[str, GanLoss] = {"stylegan": "logistic", "patchgan": "hinge"}
"""The loss that each kind of discriminator is trained with, and its generator."""

FILTERS = 128  # of a discriminator whose autoencoder, a transformer, has none to go by
LAST_SIDE = 4  # blocks halve the image until this is left, as MAGVIT's do


def build_judge(recipe: Recipe) -> nn.Module | None:
    """The discriminator of a recipe with random weights; None without one.

    "stylegan" has the filters of the recipe's autoencoder and halves images down to 4x4, which gives
    `spae.networks.discriminators` its presets. "patchgan" judges the frames of clips one by one.

    Raises:
        InputError: images that cannot be halved so.
    """
    if recipe.gan == "none":
        return None
    filters = NETWORKS[recipe.network][0] if recipe.network in NETWORKS else FILTERS
    if recipe.gan == "patchgan":
        halvings = 3 if recipe.size >= 70 else 2
        return FrameWise(PatchDiscriminator(filters // 2, halvings))
    blocks = (recipe.size // LAST_SIDE).bit_length() - 1
    if blocks < 1 or LAST_SIDE << blocks != recipe.size:
        raise InputError(f"gan=stylegan halves images to {LAST_SIDE} pixels: size must be {LAST_SIDE} times a power "
                         f"of 2, got {recipe.size}")  # fmt: skip
    shape = (recipe.frames, recipe.size, recipe.size) if recipe.frames else (recipe.size, recipe.size)
    return StyleGanDiscriminator(shape, filters, (2, *(4,) * (blocks - 1)))


class FrameWise(nn.Module):
    """A discriminator of images that judges each frame of a clip.

    Args:
        network: [B, 3, H, W] to logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, (T,) H, W] -> logits, the frames of an image in its row."""
        return self.network(as_images(images)).unflatten(0, (len(images), -1))


@dataclass(frozen=True)
class Verdict:
    """What became of a part.

    Attributes:
        total: to be minimised; a scalar.
        terms: as of an `Outcome`; "accuracy" is the share of logits on the right side of 0.
        real, fake: mean logits over all processes, for LeCAM's averages.
    """

    total: Tensor
    terms: dict[str, Tensor]
    real: Tensor
    fake: Tensor


class DiscriminatorLoss(nn.Module):
    """A discriminator and its loss as one module.

    Args:
        judge: the discriminator.
        recipe: weights of the terms.
        lecam: its averages, which are moved by whoever steps the optimizer.
    """

    def __init__(self, judge: nn.Module, recipe: Recipe, lecam: LeCam) -> None:
        super().__init__()
        self.judge = judge
        self._recipe = recipe
        # In a tuple, so that it is no part of this module, whose buffers are broadcast by some wrappers.
        self._lecam = (lecam,)

    def forward(self, real: Tensor, fake: Tensor, step: int) -> Verdict:
        """Args: images and what was redrawn of them, [B, 3, ...] in [-1, 1]; the step decides on R1."""
        recipe = self._recipe
        logits: list[Tensor] = []

        def judged(images: Tensor) -> Tensor:
            logits.append(self.judge(images))
            return logits[-1]

        r1 = recipe.gan == "stylegan" and recipe.r1_weight > 0 and step % recipe.r1_every == 0
        lecam = self._lecam[0] if recipe.lecam_weight > 0 else None
        found = discriminator_terms(judged, real, fake, kind=GAMES[recipe.gan], r1=r1, lecam=lecam)
        terms = Terms()
        terms.add("d_gan", found["d_gan"])
        if r1:
            terms.add("d_r1", found["d_r1"], recipe.r1_weight * recipe.r1_every)
        if lecam is not None:
            terms.add("lecam", found["lecam"], recipe.lecam_weight)
        assert terms.total is not None
        with torch.no_grad():
            right = torch.stack([(logits[0] > 0).float().mean(), (logits[1] < 0).float().mean()]).mean()
        notes = {"d_real": found["d_real"], "d_fake": found["d_fake"], "d_accuracy": right}
        return Verdict(terms.total, terms.named | notes, found["d_real"], found["d_fake"])
