"""Shapes, the equations of a block, and that an image's logits do not depend on the rest of the batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from spae.errors import InputError, ShapeError
from spae.networks.discriminators import HalvingBlock, PatchDiscriminator, StyleGanDiscriminator


@pytest.mark.parametrize("sides", [(8, 8), (6, 10), (5, 7), (4, 8, 6)], ids=str)
def test_a_block_is_its_equation(sides):
    torch.manual_seed(0)
    block = HalvingBlock(3, 5, len(sides))
    x = torch.randn(2, 3, *sides)
    conv, pool = (F.conv2d, F.avg_pool2d) if len(sides) == 2 else (F.conv3d, F.avg_pool3d)

    def halve(y):
        # Averages of what there is: sums over zeros beyond the border, divided by how many cells were inside.
        padded = F.pad(y, [pad for side in reversed(sides) for pad in (0, side % 2)])
        ones = F.pad(torch.ones_like(y), [pad for side in reversed(sides) for pad in (0, side % 2)])
        return pool(padded, 2) / pool(ones, 2)

    inner = halve(F.leaky_relu(conv(x, block.conv1.weight, block.conv1.bias, padding=1), 0.2))
    inner = F.leaky_relu(conv(inner, block.conv2.weight, block.conv2.bias, padding=1), 0.2)
    expected = (conv(halve(x), block.shortcut.weight) + inner) / math.sqrt(2)
    torch.testing.assert_close(block(x), expected)
    assert block(x).shape[2:] == tuple(math.ceil(side / 2) for side in sides)


@pytest.mark.parametrize("shape", [(16, 16), (12, 20), (2, 16, 16)], ids=str)
def test_one_logit_an_image_independent_of_the_batch(shape):
    torch.manual_seed(0)
    discriminator = StyleGanDiscriminator(shape, 4, (2, 4))
    images = torch.randn(3, 3, *shape)
    logits = discriminator(images)
    assert logits.shape == (3,)
    torch.testing.assert_close(discriminator(images[1:2]), logits[1:2])
    assert len(set(logits.tolist())) == 3


def test_every_weight_takes_part():
    discriminator = StyleGanDiscriminator((16, 16), 4, (2, 4))
    discriminator(torch.randn(2, 3, 16, 16)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in discriminator.parameters())


@pytest.mark.parametrize(
    ("shape", "multipliers", "cells"),
    [((128, 128), (2, 4, 4, 4, 4), 16), ((32, 32), (2, 4, 4), 16), ((16, 32, 32), (2, 4, 4), 32)],
)
def test_each_block_halves_every_side(shape, multipliers, cells):
    with torch.device("meta"):
        discriminator = StyleGanDiscriminator(shape, 32, multipliers)
        assert discriminator.hidden.in_features == 128 * cells
        assert discriminator(torch.empty(2, 3, *shape)).shape == (2,)


def test_the_number_of_parameters_is_that_counted_by_hand():
    """32 filters at 32x32: each convolution's kernel and bias, the shortcuts without bias, the two linear layers."""
    with torch.device("meta"):
        found = sum(parameter.numel() for parameter in StyleGanDiscriminator((32, 32), 32, (2, 4, 4)).parameters())
    expected, width = 3 * 32 * 9 + 32, 32
    for wide in (64, 128, 128):
        expected += width * width * 9 + width + width * wide * 9 + wide + width * wide
        width = wide
    expected += 128 * 128 * 9 + 128 + 128 * 16 * 128 + 128 + 128 + 1
    assert found == expected


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"\[B, 3, 16, 16\], got \(2, 3, 8, 16\)"):
        StyleGanDiscriminator((16, 16), 4, (2,))(torch.zeros(2, 3, 8, 16))
    with pytest.raises(ShapeError, match=r"\(H, W\) or videos \(T, H, W\), got shape \(16,\)"):
        StyleGanDiscriminator((16,), 4, (2,))


def test_a_patch_logit_sees_seventy_pixels():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(filters=4)
    # Group statistics reach over the whole image; without them the convolutions' reach is left.
    for number, layer in enumerate(discriminator.layers):
        if isinstance(layer, torch.nn.GroupNorm):
            discriminator.layers[number] = torch.nn.Identity()
    images = torch.randn(1, 3, 128, 128, requires_grad=True)
    logits = discriminator(images)
    assert logits.shape == (1, 14, 14)
    logits[0, 7, 7].backward()
    assert images.grad is not None
    seen = images.grad[0].abs().sum(0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]


def test_patch_logits_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(filters=4, halvings=2)
    images = torch.randn(3, 3, 16, 12)
    logits = discriminator(images)
    torch.testing.assert_close(discriminator(images[2:]), logits[2:])
    assert logits.shape == (3, 2, 1) and discriminator(torch.randn(1, 3, 12, 12)).shape == (1, 1, 1)
    with pytest.raises(ShapeError, match="12 pixels or more a side"):
        discriminator(torch.zeros(1, 3, 11, 16))
    with pytest.raises(InputError, match="at least once"):
        PatchDiscriminator(halvings=0)
