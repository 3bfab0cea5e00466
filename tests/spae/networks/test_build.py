"""Sizes against the paper's, and networks by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spae.errors import UnknownName
from spae.networks import build_autoencoder, count_parameters


def test_the_image_preset_has_the_papers_size_to_the_unit():
    with torch.device("meta"):
        networks = build_autoencoder("image", 1536)
    assert count_parameters(networks.encoder) == 23_677_056
    assert count_parameters(networks.decoder) == 35_720_067


@pytest.mark.parametrize(
    ("width", "image", "video"),
    [
        (256, 52.84, 157.55),
        (768, 55.46, 164.89),
        (1024, 56.78, 168.56),
        (1280, 58.09, 172.23),
        (1536, 59.40, 175.90),
    ],
)
def test_millions_of_parameters_by_width(width, image, video):
    with torch.device("meta"):
        assert round(count_parameters(build_autoencoder(preset="image", width=width)) / 1e6, 2) == image
        assert round(count_parameters(build_autoencoder(preset="video", width=width)) / 1e6, 2) == video


@pytest.mark.parametrize(
    ("preset", "pixels", "grid"),
    [
        ("image", (128, 128), (16, 16)),
        ("image-256", (256, 256), (16, 16)),
        ("mnist", (32, 32), (4, 4)),
        ("picto", (32, 32), (4, 4)),
        ("video", (16, 128, 128), (4, 16, 16)),
        ("picto-video", (8, 32, 32), (2, 4, 4)),
        ("lqae", (256, 256), (16, 16)),
        ("picto-lqae", (32, 32), (4, 4)),
    ],
)
def test_pixels_to_grid_and_back(preset, pixels, grid):
    with torch.device("meta"):
        networks = build_autoencoder(preset, 64)
        batch = torch.empty(2, 3, *pixels)
        assert networks.encoder(batch).shape == (2, 64, *grid)
        latents = networks.encode(batch)
    assert latents.shape == (2, torch.Size(grid).numel(), 64)
    assert networks.decode(latents, grid).shape == batch.shape


def test_only_trainable_numbers_are_counted():
    layer = nn.Linear(3, 2)
    assert count_parameters(layer) == 8
    layer.bias.requires_grad_(False)
    assert count_parameters(layer) == 6


def test_an_unknown_preset_names_the_near_one():
    with pytest.raises(UnknownName, match=r"did you mean 'video'.*lqae"):
        build_autoencoder("vido", 16)
