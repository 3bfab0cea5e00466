"""Shapes, biases, what a latent sees, and how videos are pooled."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spae.errors import ShapeError
from spae.network_presets import Plan
from spae.networks import build_autoencoder
from spae.networks.autoencoder import Encoder, ResBlock, Upsample


def without_norms(network: nn.Module) -> nn.Module:
    for module in network.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Identity())
    return network


def test_which_convolutions_have_biases():
    networks = build_autoencoder("picto", 16)
    for block in (module for module in networks.modules() if isinstance(module, ResBlock)):
        convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
        assert len(convolutions) in (2, 3) and all(conv.bias is None for conv in convolutions)
    plain = [module for module in networks.encoder.layers if isinstance(module, nn.Conv2d)]
    assert [(conv.kernel_size, conv.bias is not None) for conv in plain] == [((3, 3), False), ((1, 1), True)]
    plain = [module for module in networks.decoder.layers if isinstance(module, nn.Conv2d)]
    assert [(conv.kernel_size, conv.bias is not None) for conv in plain] == [((3, 3), True), ((3, 3), True)]
    ups = [module for module in networks.modules() if isinstance(module, Upsample)]
    assert len(ups) == 3 and all(up.conv.bias is not None for up in ups)


@pytest.mark.parametrize(("preset", "factor", "blocks"), [("image", 8, 20), ("image-256", 16, 24), ("picto", 8, 20)])
def test_shapes_and_depth(preset, factor, blocks):
    with torch.device("meta"):
        networks = build_autoencoder(preset, 16)
        images = torch.empty(2, 3, 2 * factor, 3 * factor)
    latents = networks.encode(images)
    assert latents.shape == (2, 6, 16)
    assert networks.decode(latents, (2, 3)).shape == images.shape
    assert sum(isinstance(module, ResBlock) for module in networks.modules()) == blocks


def test_latents_are_in_raster_order_both_ways():
    torch.manual_seed(0)
    networks = build_autoencoder("picto", 16).eval()
    images = torch.randn(1, 3, 16, 24)
    latents = networks.encode(images)
    grid = networks.encoder(images)
    for row, column in ((0, 0), (0, 2), (1, 0), (1, 2)):
        assert latents[0, row * 3 + column].equal(grid[0, :, row, column])
    torch.testing.assert_close(networks.decode(latents, (2, 3)), networks.decoder(grid))


def test_every_latent_sees_every_pixel_even_without_the_norms():
    """GroupNorm's statistics let everything see everything; the convolutions alone must do it too."""
    torch.manual_seed(0)
    encoder = without_norms(build_autoencoder("picto", 16).encoder.double())
    image = torch.randn(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    latents = encoder(image)[0].sum(0).flatten()
    for n in range(16):
        (gradient,) = torch.autograd.grad(latents[n], image, retain_graph=True)
        assert (gradient != 0).all(), f"latent {n}"


@pytest.mark.parametrize("shape", [(1, 3, 32, 28), (1, 3, 30, 32), (3, 32, 32), (1, 1, 32, 32), (1, 3, 4, 32, 32)])
def test_images_that_do_not_fit_are_refused(shape):
    with pytest.raises(ShapeError, match="H divisible by 8, W divisible by 8"):
        build_autoencoder("picto", 16).encode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 3, 6, 32, 32), (1, 3, 0, 32, 32), (1, 3, 4, 32, 28), (1, 3, 32, 32)])
def test_videos_that_do_not_fit_are_refused(shape):
    with pytest.raises(ShapeError, match="T divisible by 4, H divisible by 8, W divisible by 8"):
        build_autoencoder("picto-video", 16).encode(torch.zeros(shape))


def test_a_plan_has_a_stride_between_scales():
    with pytest.raises(ShapeError, match="3 multipliers need 2 strides, got 1"):
        Plan(8, (1, 2, 2), ((2, 2),))


def test_time_is_pooled_in_the_first_two_of_three_stages():
    """16 frames become 4; on the way up, time is repeated in the last two stages."""
    with torch.device("meta"):
        networks = build_autoencoder("video", 16)
    pools = [module.kernel_size for module in networks.modules() if isinstance(module, nn.AvgPool3d)]
    ups = [module.stride for module in networks.modules() if isinstance(module, Upsample)]
    assert pools == [(2, 2, 2), (2, 2, 2), (1, 2, 2)]
    assert ups == [[1, 2, 2], [2, 2, 2], [2, 2, 2]]
    kernels = {module.kernel_size for module in networks.modules() if isinstance(module, nn.Conv3d)}
    assert kernels == {(3, 3, 3), (1, 1, 1)}


@torch.no_grad()
def test_latents_of_a_video_go_frame_by_frame():
    torch.manual_seed(0)
    networks = build_autoencoder("picto-video", 16)
    encoder = networks.encoder
    assert isinstance(encoder, Encoder) and encoder.plan.factors == (4, 8, 8)
    video = torch.randn(1, 3, 8, 8, 16)
    latents, grid = networks.encode(video), encoder(video)
    assert grid.shape == (1, 16, 2, 1, 2)
    for n, place in enumerate([(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)]):
        assert latents[0, n].equal(grid[0, :, *place])
