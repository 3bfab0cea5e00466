"""The norm between encoder and codebook, against its definition."""

from __future__ import annotations

import pytest
import torch

from spae.networks.latent_norm import EmbeddingScale, LatentNorm, latent_basis

SPREADS = torch.tensor([0.1, 0.2, 0.3, 1.0, 2.0, 3.0])


def made(spread: float = 2.0, rank: int = 4, shrinkage: float = 0.1) -> tuple[LatentNorm, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    codebook = torch.randn(50, 6, generator=generator) * SPREADS + torch.arange(6.0)
    mixed = torch.randn(40, 16, 6, generator=generator) @ torch.randn(6, 6, generator=generator) * 5 - 3
    return LatentNorm(codebook, latent_basis(codebook, torch.arange(50), rank), spread, shrinkage), codebook, mixed


def test_the_basis_is_that_of_the_words_asked_for():
    """Words 0-9 differ in the first two channels alone, so two directions are all there is, in those channels."""
    codebook = torch.randn(30, 5, generator=torch.Generator().manual_seed(1))
    centre = codebook.double().mean(0)
    codebook[:10, 2:] = centre[2:].float()
    for _ in range(60):  # the centre is that of all words, which the change has moved
        codebook[:10, 2:] = codebook.double().mean(0)[2:].float()
    basis = latent_basis(codebook, torch.arange(10), 2)
    torch.testing.assert_close(basis @ basis.T, torch.eye(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(basis[:, 2:], torch.zeros(2, 3), atol=1e-4, rtol=0)
    assert (basis.gather(1, basis.abs().argmax(1, keepdim=True)) > 0).all()


def test_the_basis_has_no_direction_that_the_words_do_not_fill():
    codebook = torch.randn(30, 8, generator=torch.Generator().manual_seed(1))
    assert len(latent_basis(codebook, torch.arange(3), 8)) == 3
    assert len(latent_basis(codebook, torch.arange(30), 5)) == 5


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_a_batch_in_training_is_white_with_the_codebooks_mean_and_the_spread(spread):
    norm, codebook, z = made(spread, shrinkage=0.0)
    out = norm(z)
    assert out.shape == z.shape
    flat, basis = out.flatten(0, 1) - codebook.mean(0), norm.get_buffer("basis")
    inside = flat @ basis.T
    torch.testing.assert_close(inside @ basis, flat, atol=1e-4, rtol=0)
    wanted = torch.diag((spread * ((codebook - codebook.mean(0)) @ basis.T).std(0)) ** 2)
    torch.testing.assert_close(inside.T @ inside / len(inside), wanted, atol=2e-3 * wanted.max().item(), rtol=0)
    torch.testing.assert_close(inside.mean(0), torch.zeros(4), atol=1e-4, rtol=0)


def test_shrinkage_leaves_part_of_what_channels_share():
    norm, _, z = made(shrinkage=1.0)
    basis = norm.get_buffer("basis")
    before, after = z.flatten(0, 1) @ basis.T, norm(z).flatten(0, 1) @ basis.T
    torch.testing.assert_close(torch.corrcoef(after.T), torch.corrcoef(before.T), atol=1e-4, rtol=0)


def test_the_decoders_scale_undoes_the_codebooks_moments():
    _, codebook, _ = made()
    unit = EmbeddingScale(codebook)(codebook[None])[0]
    torch.testing.assert_close(unit.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(unit.std(0), torch.ones(6))


def test_evaluation_uses_and_keeps_the_running_statistics():
    norm, _, z = made()
    for _ in range(200):
        batch = norm(z)
    norm.eval()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    torch.testing.assert_close(norm(z), batch, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(norm(z[:1]), norm(z)[:1], atol=1e-5, rtol=1e-5)
    assert all(value.equal(before[name]) for name, value in norm.state_dict().items())


def test_training_moves_the_running_statistics():
    norm, _, z = made()
    norm(z)
    inside = z.flatten(0, 1) @ norm.get_buffer("basis").T
    share = norm.momentum
    torch.testing.assert_close(norm.get_buffer("running_mean"), share * inside.mean(0))
    expected = (1 - share) * torch.eye(4) + share * torch.cov(inside.T, correction=0)
    torch.testing.assert_close(norm.get_buffer("running_cov"), expected, atol=1e-3, rtol=1e-4)


def test_folded_into_the_convolution_before_it_the_norm_is_gone():
    norm, _, _ = made()
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(7, 6, 1)
    features = torch.randn(5, 7, 3, 3)
    latents = conv(features).flatten(2).transpose(1, 2)
    for _ in range(50):
        norm(latents)
    norm.eval()
    weight, bias = norm.fold(conv.weight, conv.bias)
    found = torch.nn.functional.conv2d(features, weight, bias).flatten(2).transpose(1, 2)
    torch.testing.assert_close(found, norm(latents), atol=1e-5, rtol=1e-4)


def test_half_precision_around_it_changes_nothing():
    norm, _, z = made()
    expected = norm(z)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(norm(z), expected, atol=0, rtol=0)


def test_statistics_and_basis_are_saved_and_nothing_is_trained():
    norm, _, _ = made()
    assert set(norm.state_dict()) == {"running_mean", "running_cov", "basis"} and not list(norm.parameters())
