"""The discriminator's loss against the same worked out by hand, and the networks that recipes ask for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from spae.errors import InputError
from spae.losses.lecam import LeCam
from spae.networks.discriminators import StyleGanDiscriminator
from spae.training.discriminator_step import DiscriminatorLoss, build_discriminator


class Linear(nn.Module):
    """A logit is 2 times the sum of an image, so the gradient in each of its 12 numbers is 2."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, images):
        return images.flatten(1).sum(1) * self.factor


REAL, FAKE = torch.full((2, 3, 2, 2), 0.1), torch.full((2, 3, 2, 2), -0.05)
# Logits: 2.4 and -1.2 (all right).
LOGISTIC = math.log(1 + math.exp(-2.4)) + math.log(1 + math.exp(-1.2))


def lecam_of():
    lecam = LeCam(0.9)
    lecam.real.fill_(0.3)
    lecam.fake.fill_(-0.5)
    return lecam


# relu(2.4 + 0.5)^2 + relu(0.3 + 1.2)^2
LECAM = 2.9**2 + 1.5**2


def test_logistic_r1_and_lecam_by_hand(recipe_of):
    recipe = recipe_of(gan="stylegan", r1_weight=0.5, r1_every=3, lecam_weight=0.01)
    module = DiscriminatorLoss(Linear(), recipe, lecam_of())
    found = module(REAL, FAKE, 6)
    terms = {name: value.item() for name, value in found.terms.items()}
    assert terms["loss/d_gan"] == pytest.approx(LOGISTIC)
    assert terms["loss/d_r1"] == pytest.approx(48) and terms["weighted/d_r1"] == pytest.approx(48 * 0.5 * 3)
    assert terms["loss/lecam"] == pytest.approx(LECAM) and terms["weighted/lecam"] == pytest.approx(0.01 * LECAM)
    assert found.total.item() == pytest.approx(LOGISTIC + 72 + 0.01 * LECAM)
    assert (terms["d_real"], terms["d_fake"], terms["d_accuracy"]) == pytest.approx((2.4, -1.2, 1.0))
    found.total.backward()
    # R1 = 12 w^2, logits 1.2 w and -0.6 w; LeCAM's terms (1.2 w + 0.5)^2 and (0.3 + 0.6 w)^2.
    sigmoid = torch.sigmoid
    gan = -1.2 * sigmoid(torch.tensor(-2.4)) - 0.6 * sigmoid(torch.tensor(-1.2))
    expected = gan + 1.5 * 24 * 2 + 0.01 * (2 * 2.9 * 1.2 + 2 * 1.5 * 0.6)
    assert module.discriminator.factor.grad.item() == pytest.approx(expected.item(), rel=1e-5)
    assert set(module.state_dict()) == {"discriminator.factor"}


def test_r1_is_computed_every_r1_every_steps_and_never_with_hinge(recipe_of):
    recipe = recipe_of(gan="stylegan", r1_every=3, lecam_weight=0.0)
    found = DiscriminatorLoss(Linear(), recipe, lecam_of())(REAL, FAKE, 7)
    assert found.total.item() == pytest.approx(LOGISTIC) and "loss/lecam" not in found.terms
    found = DiscriminatorLoss(Linear(), recipe_of(gan="patchgan", lecam_weight=0.0), lecam_of())(REAL, REAL, 0)
    # max(0, 1 - 2.4) + max(0, 1 + 2.4), half of the logits of the right sign.
    assert found.total.item() == pytest.approx(3.4) and found.terms["d_accuracy"].item() == 0.5


# MAGVIT's: the filters of the autoencoder, and blocks down to 4x4 cells.
DISCRIMINATORS = {
    "image": ((128, 128), 128, (2, 4, 4, 4, 4)),
    "image-256": ((256, 256), 128, (2, 4, 4, 4, 4, 4)),
    "mnist": ((32, 32), 128, (2, 4, 4)),
    "picto": ((32, 32), 32, (2, 4, 4)),
    "picto-256": ((64, 64), 32, (2, 4, 4, 4)),
    "video": ((16, 128, 128), 128, (2, 4, 4, 4, 4)),
    "picto-video": ((16, 32, 32), 32, (2, 4, 4)),
}


@pytest.mark.parametrize("preset", sorted(DISCRIMINATORS))
def test_stylegan_discriminators_are_the_presets(recipe_of, preset):
    shape, filters, multipliers = DISCRIMINATORS[preset]
    frames = {"num_frames": shape[0], "pyramid": "video"} if len(shape) == 3 else {}
    with torch.device("meta"):
        found = build_discriminator(recipe_of(gan="stylegan", network=preset, image_size=shape[-1], **frames))
        expected = StyleGanDiscriminator(shape, filters, multipliers)
    assert {name: value.shape for name, value in found.state_dict().items()} == {
        name: value.shape for name, value in expected.state_dict().items()
    }


def test_patchgan_reads_images_and_frames(recipe_of):
    discriminator = build_discriminator(recipe_of(gan="patchgan"))
    assert discriminator(torch.zeros(2, 3, 32, 32)).shape[0] == 2
    videos = torch.rand(2, 3, 4, 32, 32)
    logits = discriminator(videos)
    assert logits.shape[:2] == (2, 4) and logits[1, 2].allclose(discriminator(videos[1:, :, 2])[0, 0], atol=1e-5)
    assert build_discriminator(recipe_of()) is None


def test_sizes_that_cannot_be_halved_to_four(recipe_of):
    with pytest.raises(InputError, match="4 times a power of 2, got 48"):
        build_discriminator(recipe_of(gan="stylegan", image_size=48))
