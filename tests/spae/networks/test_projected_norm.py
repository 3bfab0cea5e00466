"""Whitened and matched latents: their moments, in training and in evaluation."""

from __future__ import annotations

import pytest
import torch

from spae.networks.latent_norm import LatentNorm
from spae.networks.projected_norm import ProjectedNorm, WhiteningNorm


def correlated(batch: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixed = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [0.5, 0.0, 1.0]])
    return torch.randn(batch, 16, 3, generator=generator) @ mixed + torch.tensor([5.0, 0.0, -2.0])


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_training_batch_is_whitened(scale):
    z = correlated()
    out = WhiteningNorm(3, scale)(z)
    assert out.shape == z.shape
    rows = out.flatten(0, 1)
    torch.testing.assert_close(rows.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.T @ rows / len(rows), scale**2 * torch.eye(3), atol=0.02 * scale**2, rtol=0)


def test_a_constant_channel_and_its_gradient_stay_finite():
    z = correlated()
    z[..., 1] = 4.0
    z.requires_grad_()
    out = WhiteningNorm(3, 1.0)(z)
    out.square().sum().backward()
    assert out.isfinite().all() and z.grad is not None and z.grad.isfinite().all()


def test_evaluation_uses_and_keeps_the_running_statistics():
    norm = WhiteningNorm(3, 1.0)
    for _ in range(200):
        norm(correlated(64))
    mean, covariance = norm.running_mean.clone(), norm.running_covariance.clone()
    norm.eval()
    one, whole = norm(correlated()[:1]), norm(correlated())
    torch.testing.assert_close(one, whole[:1])
    assert norm.running_mean.equal(mean) and norm.running_covariance.equal(covariance)
    torch.testing.assert_close(norm(correlated(64)), norm.train()(correlated(64)), atol=1e-3, rtol=0)


def test_statistics_are_of_float32_under_autocast():
    z = correlated()
    with torch.autocast("cpu", torch.bfloat16):
        under = WhiteningNorm(3, 1.0)(z)
    assert under.equal(WhiteningNorm(3, 1.0)(z))


def test_each_part_has_its_own_norm_and_the_decoder_reads_the_last():
    words = torch.randn(40, 5, generator=torch.Generator().manual_seed(1)) * 3 + 1
    z = torch.cat([torch.randn(8, 16, 5, generator=torch.Generator().manual_seed(2)), correlated()], -1)
    out = ProjectedNorm(words, 3, 2.0, 0.7)(z)
    assert out[..., :5].equal(LatentNorm(words, 2.0)(z[..., :5]))
    assert out[..., 5:].equal(WhiteningNorm(3, 0.7)(z[..., 5:]))
    assert ProjectedNorm(words, 3, 2.0, 0.7).standardize(out).equal(out[..., 5:])
