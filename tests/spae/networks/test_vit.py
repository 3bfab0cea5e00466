"""The transformers of LQAE: their size, and which patch goes where."""

from __future__ import annotations

import pytest
import torch

from spae.errors import ShapeError
from spae.network_presets import VITS, VitPlan
from spae.networks import build_autoencoder, count_parameters
from spae.networks.vit import VitDecoder, VitEncoder

SMALL = VitPlan(size=12, patch=4, features=8, layers=1, heads=2, hidden=16)
# Without layers every patch is on its own.
NO_LAYERS = VitPlan(size=12, patch=4, features=8, layers=0, heads=2, hidden=16)


def test_the_encoder_is_vit_base():
    """Counted from the description in arXiv 2010.11929, table 1: 12 layers, 768 features, MLP 3072, patch 16."""
    attention = 4 * (768 * 768 + 768)
    mlp = 768 * 3072 + 3072 + 3072 * 768 + 768
    norms = 2 * 2 * 768
    trunk = 12 * (attention + mlp + norms) + 2 * 768 + 256 * 768
    patches = 3 * 16 * 16 * 768 + 768
    with torch.device("meta"):
        networks = build_autoencoder("lqae", 768)
    assert VITS["lqae"].side ** 2 == 256
    assert count_parameters(networks.encoder) == trunk + patches + (768 * 768 + 768)
    assert count_parameters(networks.decoder) == trunk + (768 * 768 + 768) + (768 * 768 + 768)


@torch.no_grad()
def test_a_patch_becomes_the_latent_of_its_place():
    torch.manual_seed(0)
    encoder = VitEncoder(5, NO_LAYERS)
    image = torch.randn(1, 3, 12, 12)
    before = encoder(image)
    assert before.shape == (1, 5, 3, 3)
    image[:, :, 4:8, 8:12] += 1
    changed = (encoder(image) != before).any(1)[0]
    assert changed.nonzero().tolist() == [[1, 2]]


@torch.no_grad()
def test_a_latent_becomes_the_patch_of_its_place():
    torch.manual_seed(0)
    decoder = VitDecoder(5, NO_LAYERS)
    latents = torch.randn(1, 5, 3, 3)
    before = decoder(latents)
    assert before.shape == (1, 3, 12, 12)
    latents[:, :, 2, 0] += 1
    rows, columns = (decoder(latents) != before).any(1)[0].nonzero().T
    assert set(rows.tolist()) == {8, 9, 10, 11} and set(columns.tolist()) == {0, 1, 2, 3}


@torch.no_grad()
def test_a_patch_is_decoded_row_by_row():
    decoder = VitDecoder(5, NO_LAYERS)
    decoder.layers[-1].weight.zero_()
    decoder.layers[-1].bias.copy_(torch.arange(48.0))
    decoded = decoder(torch.zeros(1, 5, 3, 3))[0]
    assert decoded[:, 4:8, 4:8].equal(torch.arange(48.0).view(3, 4, 4))


def test_every_latent_sees_every_patch():
    torch.manual_seed(0)
    encoder = VitEncoder(5, SMALL).double()
    image = torch.randn(1, 3, 12, 12, dtype=torch.float64, requires_grad=True)
    latents = encoder(image)[0].sum(0).flatten()
    for n in range(9):
        (gradient,) = torch.autograd.grad(latents[n], image, retain_graph=True)
        assert (gradient != 0).all(), f"latent {n}"


@torch.no_grad()
def test_equal_patches_differ_by_their_place():
    torch.manual_seed(0)
    latents = VitEncoder(5, SMALL)(torch.ones(1, 3, 12, 12))[0].flatten(1).T
    assert len({tuple(one) for one in latents.tolist()}) == 9


def test_initial_weights_differ_and_are_small():
    torch.manual_seed(0)
    encoder = VitEncoder(5, VitPlan(size=12, patch=4, features=64, layers=2, heads=2, hidden=64))
    first, second = (layer.linear1.weight for layer in encoder.layers[1].layers)
    assert not first.equal(second)
    assert first.std().item() == pytest.approx(0.02, rel=0.1)
    assert not encoder.layers[-1].bias.any() and (encoder.layers[1].norm.weight == 1).all()


@pytest.mark.parametrize("shape", [(1, 3, 12, 8), (1, 3, 16, 16), (1, 1, 12, 12), (3, 12, 12)])
def test_images_of_another_size_are_refused(shape):
    with pytest.raises(ShapeError, match=r"\[B, 3, 12, 12\]"):
        VitEncoder(5, SMALL)(torch.zeros(shape))


def test_latents_of_another_grid_are_refused():
    with pytest.raises(ShapeError, match=r"\[B, c, 3, 3\]"):
        VitDecoder(5, SMALL)(torch.zeros(1, 5, 4, 4))


@pytest.mark.parametrize("fields", [{"size": 30, "patch": 4}, {"features": 10, "heads": 4}])
def test_impossible_plans_are_refused(fields):
    with pytest.raises(ShapeError, match="patches must fill the image and heads the features"):
        VitPlan(**fields)
