"""GAN losses between images and their reconstructions (Eq. 8 of arXiv 2306.17842), and R1.

The default is the authors' MAGVIT (arXiv 2212.05199): the non-saturating logistic loss with R1 (arXiv
1801.04406); hinge is VQGAN's (2012.09841). Generator and discriminator losses are means over all logits, so a
discriminator may give one logit an image or one a patch.

B batch; logits [B, ...].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from spae.errors import InputError, ShapeError
from spae.losses.lecam import LeCam, global_mean

GanLoss = Literal["logistic", "hinge"]
"""Name of the loss in recipes and reports."""


def generator_loss(fake: Tensor, kind: GanLoss = "logistic") -> Tensor:
    """The decoder's loss; a scalar.

    "logistic": mean log(1 + exp(-D(fake))), the non-saturating loss. "hinge": -mean D(fake).

    Args:
        fake: logits of reconstructions, with their gradient.

    Raises:
        InputError: an unknown kind.
    """
    if kind == "logistic":
        return F.softplus(-fake.float()).mean()
    if kind == "hinge":
        return -fake.float().mean()
    raise _unknown(kind)


def discriminator_loss(real: Tensor, fake: Tensor, kind: GanLoss = "logistic") -> Tensor:
    """The discriminator's loss; a scalar.

    "logistic": mean log(1 + exp(-D(real))) + mean log(1 + exp(D(fake))).
    "hinge": mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)); VQGAN's code takes half of it.

    Raises:
        InputError: an unknown kind.
    """
    if kind == "logistic":
        return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()
    if kind == "hinge":
        return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()
    raise _unknown(kind)


def r1_penalty(real: Tensor, images: Tensor) -> Tensor:
    """R1: the mean over images of ||gradient of D with respect to the image||^2; a scalar.

    Not halved, as in MAGVIT's source (StyleGAN's gamma is twice the weight of this). Where an image has many logits,
    D is their sum. The discriminator must treat each image on its own, without batch statistics.

    Args:
        real: logits of `images`.
        images: [B, ...], must require gradients; `real` was computed from it.

    Raises:
        ShapeError: the batches differ.
        InputError: the logits do not depend on the images.
    """
    if len(real) != len(images):
        raise ShapeError(f"logits and images must be of one batch, got {len(real)} and {len(images)}")
    if not (images.requires_grad and real.requires_grad):
        raise InputError("R1 needs the gradient of the logits in the images: call images.requires_grad_() first")
    (gradient,) = torch.autograd.grad(real.float().sum(), images, create_graph=True)
    return gradient.float().flatten(1).square().sum(1).mean()


def discriminator_terms(
    discriminator: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    *,
    kind: GanLoss = "logistic",
    r1: bool = True,
    lecam: LeCam | None = None,
) -> dict[str, Tensor]:
    """The terms of the discriminator's loss by name, unweighted.

    Args:
        discriminator: images to logits.
        real, fake: [B, ...] in [-1, 1], images and their reconstructions; no gradient flows to either.
        r1: whether to compute R1, which doubles the cost of the step.
        lecam: its running averages, not updated here: call `lecam.update(terms["d_real"], terms["d_fake"])` after the
            optimizer's step.

    Returns: the losses "d_gan" and, if enabled, "d_r1" and "lecam"; and for the log "d_real" and "d_fake", the mean
        logits over all processes, without gradient.
    """
    images = real.detach().requires_grad_(r1)
    real_logits, fake_logits = discriminator(images), discriminator(fake.detach())
    terms = {"d_gan": discriminator_loss(real_logits, fake_logits, kind)}
    if r1:
        terms["d_r1"] = r1_penalty(real_logits, images)
    real_mean, fake_mean = global_mean(real_logits), global_mean(fake_logits)
    if lecam is not None:
        terms["lecam"] = lecam(real_mean, fake_mean)
    return terms | {"d_real": real_mean.detach(), "d_fake": fake_mean.detach()}


def _unknown(kind: str) -> InputError:
    return InputError(f'the GAN loss is "logistic" or "hinge", got {kind!r}')
