"""Random changes: how much, of what, and from which chance."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from spae.training.augment import augment


def squares(batch: int = 6) -> torch.Tensor:
    """Coloured rectangles off the middle, on white."""
    images = torch.ones(batch, 3, 64, 64)
    for i in range(batch):
        images[i, :, 20:44, 14 + i % 6 : 40] = torch.tensor([-0.8, 0.3 * (i % 3), 0.9])[:, None, None]
    return images


def changed(images, seed=0, strength=1.0, size=32):
    return augment(images, size, torch.Generator().manual_seed(seed), strength)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
def test_range_shape_and_determinism(strength):
    images = squares()
    kept = images.clone()
    out = changed(images, 1, strength)
    assert out.shape == (6, 3, 32, 32) and out.min() >= -1 and out.max() <= 1
    assert out.equal(changed(images, 1, strength)) and not out.equal(changed(images, 2, strength))
    assert images.equal(kept), "the given images are left alone"


def test_the_generator_is_the_only_chance():
    torch.manual_seed(0)
    first = changed(squares())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert changed(squares()).equal(first) and torch.get_rng_state().equal(before)


def test_strength_0_leaves_the_image_or_its_mirror():
    images = squares(40)
    small = F.avg_pool2d(images, 2)
    mirrored = 0
    for one, plain in zip(changed(images, strength=0.0), small, strict=True):
        straight, flipped = (torch.allclose(one, other, atol=1e-3) for other in (plain, plain.flip(-1)))
        assert straight != flipped
        mirrored += flipped
    assert 8 <= mirrored <= 32


def test_white_stays_white_at_strength_0():
    torch.testing.assert_close(changed(torch.ones(8, 3, 64, 64), strength=0.0), torch.ones(8, 3, 32, 32))


def test_white_is_at_most_dimmed_evenly():
    out = changed(torch.ones(64, 3, 64, 64))
    level = out.amax((1, 2, 3))
    torch.testing.assert_close(out, level[:, None, None, None].expand_as(out), atol=1e-5, rtol=0)
    assert level.min() >= 0.85 - 1e-5 and (level > 1 - 1e-5).float().mean() > 0.5


def test_what_comes_in_from_outside_is_white():
    corners = changed(torch.full((64, 3, 64, 64), -1.0), seed=3)[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners.amax((1, 2)) > 0.5).any()


def test_images_of_a_batch_change_apart_from_each_other():
    out = changed(squares(1).expand(5, 3, 64, 64))
    assert all(not out[i].equal(out[j]) for i in range(5) for j in range(i))


@pytest.mark.parametrize("size", [16, 32, 64])
def test_sizes_that_divide_the_stored_side(size):
    assert changed(squares(2), size=size).shape == (2, 3, size, size)
