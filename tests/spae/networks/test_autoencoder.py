"""Sizes against the paper's, shapes, biases, and what a latent sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spae.errors import ShapeError, UnknownName
from spae.networks import build_autoencoder, count_parameters
from spae.networks.autoencoder import ResBlock, Upsample


def test_the_image_preset_has_the_papers_size_to_the_unit():
    with torch.device("meta"):
        networks = build_autoencoder("image", 1536)
    assert count_parameters(networks.encoder) == 23_677_056
    assert count_parameters(networks.decoder) == 35_720_067


@pytest.mark.parametrize(
    ("width", "millions"), [(256, 52.84), (768, 55.46), (1024, 56.78), (1280, 58.09), (1536, 59.40)]
)
def test_other_codebooks_give_other_sizes(width, millions):
    with torch.device("meta"):
        assert count_parameters(build_autoencoder("image", width)) / 1e6 == pytest.approx(millions, abs=0.01)


def test_only_trainable_numbers_are_counted():
    layer = nn.Linear(3, 2)
    assert count_parameters(layer) == 8
    layer.bias.requires_grad_(False)
    assert count_parameters(layer) == 6


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
        pictures = torch.empty(2, 3, 2 * factor, 3 * factor)
    latents = networks.encode(pictures)
    assert latents.shape == (2, 6, 16)
    assert networks.decode(latents, (2, 3)).shape == pictures.shape
    assert sum(isinstance(module, ResBlock) for module in networks.modules()) == blocks


def test_latents_are_in_raster_order_both_ways():
    torch.manual_seed(0)
    networks = build_autoencoder("picto", 16).eval()
    pictures = torch.randn(1, 3, 16, 24)
    latents = networks.encode(pictures)
    grid = networks.encoder(pictures)
    for row, column in ((0, 0), (0, 2), (1, 0), (1, 2)):
        assert latents[0, row * 3 + column].equal(grid[0, :, row, column])
    torch.testing.assert_close(networks.decode(latents, (2, 3)), networks.decoder(grid))


def test_every_latent_sees_every_pixel_even_without_the_norms():
    """GroupNorm's statistics let everything see everything; the convolutions alone must do it too."""
    torch.manual_seed(0)
    encoder = build_autoencoder("picto", 16).encoder.double()
    for module in encoder.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Identity())
    picture = torch.randn(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    latents = encoder(picture)[0].sum(0).flatten()
    for n in range(16):
        (gradient,) = torch.autograd.grad(latents[n], picture, retain_graph=True)
        assert (gradient != 0).all(), f"latent {n}"


@pytest.mark.parametrize("shape", [(1, 3, 32, 28), (1, 3, 30, 32), (3, 32, 32)])
def test_pictures_that_do_not_fit_are_refused(shape):
    with pytest.raises(ShapeError, match="divisible by 8"):
        build_autoencoder("picto", 16).encode(torch.zeros(shape))


def test_an_unknown_preset_names_the_near_one():
    with pytest.raises(UnknownName, match="did you mean 'picto'"):
        build_autoencoder("pict", 16)
