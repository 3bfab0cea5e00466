"""The discriminator's half of a step: real images against decoded ones, R1 and LeCAM.

    total = gan + r1_weight R1 + phi LeCAM

R1 may come every few steps only, with its weight multiplied by as many (arXiv 1912.04958, "lazy regularisation").
B rows of a microbatch. Images [B, 3, H, W], videos [B, 3, T, H, W].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spae.errors import InputError
from spae.losses.adversarial import GanLoss, discriminator_terms
from spae.losses.lecam import LeCam
from spae.network_presets import NETWORKS
from spae.networks.discriminators import PatchDiscriminator, StyleGanDiscriminator
from spae.training.objective import LossTerms, as_images
from spae.training.recipe import Recipe

GAN_LOSSES: dict[str, GanLoss] = {"stylegan": "logistic", "patchgan": "hinge"}
"""The loss of each kind of discriminator and of its generator."""

FILTERS = 128  # for autoencoders without convolutions
LAST_SIDE = 4  # blocks halve the image until this is left, as MAGVIT's do


def build_discriminator(recipe: Recipe) -> nn.Module | None:
    """A recipe's discriminator with random weights; None without one.

    "stylegan" has the filters of the recipe's autoencoder and halves images down to 4x4, which gives
    `spae.networks.discriminators` its presets. "patchgan" reads the frames of videos one by one.

    Raises:
        InputError: images that cannot be halved so.
    """
    gan, model, size = recipe.appearance.gan, recipe.model, recipe.model.image_size
    if gan == "none":
        return None
    filters = NETWORKS[model.network][0] if model.network in NETWORKS else FILTERS
    if gan == "patchgan":
        halvings = 3 if size >= 70 else 2
        return FrameWise(PatchDiscriminator(filters // 2, halvings))
    blocks = (size // LAST_SIDE).bit_length() - 1
    if blocks < 1 or LAST_SIDE << blocks != size:
        raise InputError(
            f"gan=stylegan halves images to {LAST_SIDE} pixels: image_size must be {LAST_SIDE} times a power of 2, got "
            f"{size}"
        )
    shape = (model.num_frames, size, size) if model.num_frames else (size, size)
    return StyleGanDiscriminator(shape, filters, (2, *(4,) * (blocks - 1)))


class FrameWise(nn.Module):
    """A discriminator of images, applied to each frame of a video.

    Args:
        network: [B, 3, H, W] to logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, (T,) H, W] -> logits [B, ...], the frames of a video in its row."""
        return self.network(as_images(images)).unflatten(0, (len(images), -1))


@dataclass(frozen=True)
class DiscriminatorResult:
    """The discriminator's loss of a microbatch.

    Attributes:
        total: to be minimised; a scalar.
        terms: as of a `LossResult`; "d_accuracy" is the fraction of logits with the right sign.
        real, fake: mean logits over all processes, for LeCAM's averages.
    """

    total: Tensor
    terms: dict[str, Tensor]
    real: Tensor
    fake: Tensor


class DiscriminatorLoss(nn.Module):
    """A discriminator and its loss as one module.

    Args:
        discriminator: images to logits.
        recipe: weights of the terms.
        lecam: its averages, updated by the code that steps the optimizer.
    """

    def __init__(self, discriminator: nn.Module, recipe: Recipe, lecam: LeCam) -> None:
        super().__init__()
        self.discriminator = discriminator
        self._config = recipe.appearance
        # In a tuple, so that it is no submodule: some wrappers broadcast a module's buffers.
        self._lecam = (lecam,)

    def forward(self, real: Tensor, fake: Tensor, step: int) -> DiscriminatorResult:
        """Args: images and their reconstructions, [B, 3, ...] in [-1, 1]; the step decides on R1."""
        config = self._config
        logits: list[Tensor] = []

        def discriminate(images: Tensor) -> Tensor:
            logits.append(self.discriminator(images))
            return logits[-1]

        r1 = config.gan == "stylegan" and config.r1_weight > 0 and step % config.r1_every == 0
        lecam = self._lecam[0] if config.lecam_weight > 0 else None
        found = discriminator_terms(discriminate, real, fake, kind=GAN_LOSSES[config.gan], r1=r1, lecam=lecam)
        terms = LossTerms()
        terms.add("d_gan", found["d_gan"])
        if r1:
            terms.add("d_r1", found["d_r1"], config.r1_weight * config.r1_every)
        if lecam is not None:
            terms.add("lecam", found["lecam"], config.lecam_weight)
        assert terms.total is not None
        with torch.no_grad():
            right = torch.stack([(logits[0] > 0).float().mean(), (logits[1] < 0).float().mean()]).mean()
        notes = {"d_real": found["d_real"], "d_fake": found["d_fake"], "d_accuracy": right}
        return DiscriminatorResult(terms.total, terms.named | notes, found["d_real"], found["d_fake"])
