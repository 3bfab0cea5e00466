"""GAN losses by hand, R1 against finite differences and a closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from spae.errors import InputError, ShapeError
from spae.losses.adversarial import discriminator_loss, discriminator_terms, generator_loss, r1_penalty
from spae.losses.lecam import LeCam

REAL, FAKE = [2.0, -1.0, 0.5], [0.0, 3.0]


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def test_logistic_losses_by_hand():
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    expected = sum(softplus(-x) for x in REAL) / 3 + sum(softplus(x) for x in FAKE) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(expected)
    assert generator_loss(fake).item() == pytest.approx(sum(softplus(-x) for x in FAKE) / 2)


def test_hinge_losses_by_hand():
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    # Real: 0, 2, 0.5; fake: 1, 4.
    assert discriminator_loss(real, fake, "hinge").item() == pytest.approx(2.5 / 3 + 5 / 2)
    assert generator_loss(fake, "hinge").item() == pytest.approx(-1.5)


@pytest.mark.parametrize("kind", ["logistic", "hinge"])
def test_the_discriminator_separates_logits_and_the_generator_opposes(kind):
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(2, requires_grad=True)
    discriminator_loss(real, fake, kind).backward()
    assert real.grad is not None and fake.grad is not None and (real.grad < 0).all() and (fake.grad > 0).all()
    fake.grad = None
    generator_loss(fake, kind).backward()
    assert (fake.grad < 0).all()


def test_patch_logits_count_each_patch_alike():
    patches = torch.tensor(REAL + FAKE).view(1, 5, 1)
    flat = discriminator_loss(torch.tensor(REAL + FAKE), torch.tensor(FAKE))
    assert discriminator_loss(patches, torch.tensor(FAKE)).item() == pytest.approx(flat.item())


def test_the_logistic_loss_is_finite_for_extreme_logits():
    assert generator_loss(torch.tensor([-1e4])).item() == pytest.approx(1e4)
    assert generator_loss(torch.tensor([-3e4], dtype=torch.float16)).isfinite()


def test_another_kind_is_refused():
    for call in (
        lambda: generator_loss(torch.zeros(1), "wgan"),
        lambda: discriminator_loss(*torch.zeros(2, 1), "wgan"),
    ):
        with pytest.raises(InputError, match=r'"logistic" or "hinge", got \'wgan\''):
            call()


def test_r1_of_a_linear_discriminator_is_the_norm_of_its_weights():
    weights = torch.tensor([[[0.5, -2.0]], [[1.0, 0.0]], [[0.25, 3.0]]], requires_grad=True)  # a 3x1x2 image
    images = torch.randn(4, 3, 1, 2).requires_grad_()
    penalty = r1_penalty((images * weights).sum((1, 2, 3)) + 7, images)
    assert penalty.item() == pytest.approx(0.25 + 4 + 1 + 0.0625 + 9)
    penalty.backward()
    torch.testing.assert_close(weights.grad, 2 * weights.detach())


class Curved(nn.Module):
    """A small discriminator with a gradient that changes from image to image."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.a = nn.Parameter(torch.randn(5, 12, generator=generator, dtype=torch.double))
        self.b = nn.Parameter(torch.randn(5, generator=generator, dtype=torch.double))

    def forward(self, images):
        return torch.tanh(images.flatten(1) @ self.a.T) @ self.b


def r1_by_differences(discriminator: nn.Module, images: torch.Tensor, step: float = 1e-5) -> float:
    """The mean over images of the squared norm, each partial derivative by a central difference."""
    total = 0.0
    with torch.no_grad():
        for image in images:
            for place in range(image.numel()):
                nudge = torch.zeros(image.numel(), dtype=image.dtype)
                nudge[place] = step
                nudge = nudge.view_as(image)
                up, down = discriminator((image + nudge)[None]), discriminator((image - nudge)[None])
                total += ((up - down).item() / (2 * step)) ** 2
    return total / len(images)


def test_r1_and_its_gradient_match_finite_differences():
    discriminator = Curved()
    images = torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.double).requires_grad_()
    penalty = r1_penalty(discriminator(images), images)
    assert penalty.item() == pytest.approx(r1_by_differences(discriminator, images.detach()), rel=1e-6)
    penalty.backward()
    assert discriminator.b.grad is not None
    for place in range(5):
        found = []
        for step in (1e-4, -1e-4):
            with torch.no_grad():
                discriminator.b[place] += step
            found.append(r1_by_differences(discriminator, images.detach()))
            with torch.no_grad():
                discriminator.b[place] -= step
        assert discriminator.b.grad[place].item() == pytest.approx((found[0] - found[1]) / 2e-4, rel=1e-3)


def test_r1_needs_images_with_a_gradient():
    with pytest.raises(InputError, match="requires_grad_"):
        r1_penalty(torch.zeros(2, requires_grad=True), torch.zeros(2, 3, 4, 4))
    with pytest.raises(ShapeError, match="got 2 and 3"):
        r1_penalty(torch.zeros(2), torch.zeros(3, 3, 4, 4))


@pytest.mark.parametrize("r1", [True, False])
@pytest.mark.parametrize("lecam", [True, False])
def test_terms_of_a_step(r1, lecam):
    discriminator = Curved()
    real = torch.randn(3, 3, 2, 2, dtype=torch.double)
    fake = torch.randn(3, 3, 2, 2, dtype=torch.double, requires_grad=True)
    averages = LeCam() if lecam else None
    terms = discriminator_terms(discriminator, real, fake, r1=r1, lecam=averages)
    assert set(terms) == {"d_gan", "d_real", "d_fake"} | ({"d_r1"} if r1 else set()) | ({"lecam"} if lecam else set())
    assert all(value.ndim == 0 for value in terms.values())
    logits = discriminator(real), discriminator(fake)
    torch.testing.assert_close(terms["d_gan"], discriminator_loss(*logits))
    assert terms["d_real"].item() == pytest.approx(logits[0].mean().item(), abs=1e-6)
    assert not terms["d_real"].requires_grad and not terms["d_fake"].requires_grad
    if r1:
        assert terms["d_r1"].item() == pytest.approx(r1_by_differences(discriminator, real), rel=1e-5)
    sum(value for name, value in terms.items() if name not in ("d_real", "d_fake")).backward()
    assert fake.grad is None and not real.requires_grad, "the discriminator's step moves the discriminator alone"
    assert all(parameter.grad is not None for parameter in discriminator.parameters())
