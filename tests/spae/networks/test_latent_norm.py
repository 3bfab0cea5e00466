"""The norm between encoder and codebook, against its definition."""

from __future__ import annotations

import pytest
import torch

from spae.networks.latent_norm import LatentNorm


def made(scale: float = 2.0) -> tuple[LatentNorm, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    codebook = torch.randn(50, 6) * torch.tensor([0.1, 0.2, 0.3, 1.0, 2.0, 3.0]) + torch.arange(6.0)
    return LatentNorm(codebook, scale), codebook, torch.randn(8, 16, 6) * 5 - 3


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_training_batch_gets_the_codebooks_mean_and_scaled_deviation(scale):
    norm, codebook, z = made(scale)
    out = norm(z)
    assert out.shape == z.shape
    flat = out.flatten(0, 1)
    torch.testing.assert_close(flat.mean(0), codebook.mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(flat.std(0, correction=0), scale * codebook.std(0), atol=0, rtol=1e-4)


def test_standardize_undoes_the_codebooks_moments():
    norm, codebook, z = made()
    unit = norm.standardize(codebook[None])[0]
    torch.testing.assert_close(unit.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(unit.std(0), torch.ones(6))
    normal = (z - z.mean((0, 1))) / (z.var((0, 1), correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(norm.standardize(norm(z)), 2.0 * normal, atol=1e-4, rtol=1e-4)


def test_evaluation_uses_and_keeps_the_running_statistics():
    norm, codebook, z = made()
    norm.eval()
    mean, var = torch.linspace(-1, 1, 6), torch.linspace(0.5, 2, 6)
    norm.get_buffer("running_mean").copy_(mean)
    norm.get_buffer("running_var").copy_(var)
    expected = (z - mean) / (var + 1e-5).sqrt() * codebook.std(0) * 2.0 + codebook.mean(0)
    torch.testing.assert_close(norm(z), expected)
    torch.testing.assert_close(norm(z[:1]), norm(z)[:1])
    assert norm.get_buffer("running_mean").equal(mean) and norm.get_buffer("running_var").equal(var)


def test_training_moves_the_running_statistics():
    norm, _, z = made()
    norm(z)
    flat = z.flatten(0, 1)
    share = norm.momentum
    torch.testing.assert_close(norm.get_buffer("running_mean"), share * flat.mean(0))
    torch.testing.assert_close(norm.get_buffer("running_var"), (1 - share) + share * flat.var(0))


def test_only_the_running_statistics_are_saved_and_nothing_is_trained():
    norm, _, _ = made()
    assert set(norm.state_dict()) == {"running_mean", "running_var"} and not list(norm.parameters())
