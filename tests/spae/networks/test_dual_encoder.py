"""Two encoders beside each other: what each makes, and that neither hears the other."""

from __future__ import annotations

import pytest
import torch

from spae.errors import InputError, ShapeError
from spae.networks import build_autoencoder, count_parameters


def test_each_branch_has_its_own_encoder():
    networks = build_autoencoder("picto", 6, 3)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    latents = networks.encode(images)
    assert latents.shape == (2, 16, 9)
    latents[..., :6].sum().backward()
    assert all(one.grad is None or not one.grad.any() for one in networks.encoder.reconstruction.parameters())
    assert any(one.grad is not None and one.grad.any() for one in networks.encoder.semantic.parameters())
    assert networks.decode(latents[..., 6:].detach(), (4, 4)).shape == (2, 3, 32, 32)


def test_the_semantic_branch_is_the_plain_encoder_and_the_other_is_smaller():
    networks, plain = build_autoencoder("picto", 576, 8), build_autoencoder("picto", 576)
    assert count_parameters(networks.encoder.semantic) == count_parameters(plain.encoder)
    assert count_parameters(networks.encoder.reconstruction) < count_parameters(plain.encoder) / 2
    # Weights are committed at two bytes a number, under 8 MB.
    assert 2 * count_parameters(networks) < 7_900_000


def test_videos_have_two_branches_too():
    assert build_autoencoder("picto-video", 6, 3).encode(torch.zeros(1, 3, 16, 32, 32)).shape == (1, 4 * 16, 9)


def test_a_transformer_has_no_reconstruction_branch():
    with pytest.raises(InputError, match="picto-lqae has no reconstruction branch"):
        build_autoencoder("picto-lqae", 6, 3)
    with pytest.raises(ShapeError, match="divisible by 8"):
        build_autoencoder("picto", 6, 3).encode(torch.zeros(1, 3, 30, 32))
