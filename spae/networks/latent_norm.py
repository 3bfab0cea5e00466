"""Latents spread evenly over the words of a frozen codebook while training, and the same as plain weights after it.

B batch, N positions, C width, V words, K rank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def latent_basis(codebook: Tensor, words: Tensor, rank: int) -> Tensor:
    """The main directions of some of the words, [K, C] orthonormal rows; K is at most `rank`.

    Args:
        codebook: [V, C].
        words: [M] ids of the words that latents must be able to tell apart.
        rank: directions wanted; an encoder whose last layer has F channels fills no more than F.
    """
    exact = codebook.double()
    chosen = exact[words] - exact.mean(0)
    _, sizes, directions = torch.linalg.svd(chosen, full_matrices=False)
    kept = directions[: min(rank, int((sizes > sizes[0] * 1e-6).sum()))]
    # A singular vector is known up to its sign: the largest entry is made positive.
    signs = kept.gather(1, kept.abs().argmax(1, keepdim=True)).sign()
    return (kept * signs).to(codebook.dtype).contiguous()


class EmbeddingScale(nn.Module):
    """For the decoder: the codebook's mean to 0 and its spread to 1, channel by channel.

    Word embeddings are small and share a large mean, which would drown their differences in the
    decoder's first convolution.

    Args:
        codebook: [V, C].
    """

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        # In float64, so that the order of summing, which differs between machines, is rounded away.
        exact = codebook.double()
        self.register_buffer("mean", exact.mean(0).to(codebook.dtype), persistent=False)
        self.register_buffer("std", exact.std(0).to(codebook.dtype), persistent=False)

    def forward(self, embeddings: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        return (embeddings - self.get_buffer("mean")) / self.get_buffer("std")


class LatentNorm(nn.Module):
    """Latents whitened within a subspace, and given the codebook's mean and a multiple of its spread there.

    A learned codebook moves to where the latents are; a frozen one cannot. Left alone, a small
    encoder sends all positions to a handful of words within 40 steps, and normalising channel by
    channel still leaves a few hundred words in use. White latents point everywhere, so that all words have a
    part. Running statistics stand in for the batch's in evaluation, where the norm is one linear
    map: `fold` puts it into the encoder's last convolution, so that a trained model has no norm.
    Not in the paper; recipes with a `latent_spread` say so.

    Args:
        codebook: [V, C].
        basis: [K, C] orthonormal rows, as `latent_basis` gives.
        spread: standard deviation of the latents over that of the codebook, direction by direction.
        shrinkage: share of the covariance's own diagonal mixed into it, against noise of small batches.
        momentum: of the running statistics.
    """

    def __init__(
        self, codebook: Tensor, basis: Tensor, spread: float, shrinkage: float = 0.1, momentum: float = 0.05
    ) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.momentum = momentum
        exact = codebook.double()
        mean = exact.mean(0)
        self.register_buffer("running_mean", torch.zeros(len(basis)))
        self.register_buffer("running_cov", torch.eye(len(basis)))
        self.register_buffer("basis", basis.detach().clone())
        self.register_buffer("mean", mean.to(codebook.dtype), persistent=False)
        scale = spread * ((exact - mean) @ basis.double().T).std(0)
        self.register_buffer("scale", scale.to(codebook.dtype), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        # Half-precision products leave a covariance that is not positive.
        with torch.autocast(z.device.type, enabled=False):
            basis = self.get_buffer("basis").to(z.dtype)
            inside = z.flatten(0, 1) @ basis.T
            if self.training:
                mean = inside.mean(0)
                centred = inside - mean
                cov = centred.T @ centred / len(inside)
                with torch.no_grad():
                    self.get_buffer("running_mean").lerp_(mean.float(), self.momentum)
                    self.get_buffer("running_cov").lerp_(cov.float(), self.momentum)
            else:
                mean, cov = self.get_buffer("running_mean").to(z.dtype), self.get_buffer("running_cov").to(z.dtype)
            white = torch.linalg.solve_triangular(self._root(cov), (inside - mean).T, upper=False).T
            placed = (white * self.get_buffer("scale").to(z.dtype)) @ basis + self.get_buffer("mean").to(z.dtype)
        return placed.view_as(z)

    @torch.no_grad()
    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The 1x1 convolution before the norm, with the norm in evaluation made part of it.

        Args:
            weight: [C, F, 1, 1].
            bias: [C].
        """
        basis = self.get_buffer("basis").double()
        root = self._root(self.get_buffer("running_cov").double())
        inner = torch.linalg.solve_triangular(root, basis, upper=False)
        whole = basis.T @ (self.get_buffer("scale").double()[:, None] * inner)
        offset = bias.double() - basis.T @ self.get_buffer("running_mean").double()
        folded = F.linear(weight.double().flatten(1).T, whole).T
        return (
            folded.to(weight.dtype).view_as(weight),
            (whole @ offset + self.get_buffer("mean").double()).to(bias.dtype),
        )

    def _root(self, cov: Tensor) -> Tensor:
        """Lower triangle whose square is the shrunken covariance."""
        own = cov.diagonal().clamp(min=1e-5)
        root, failed = torch.linalg.cholesky_ex(cov * (1 - self.shrinkage) + torch.diag(own * self.shrinkage + 1e-5))
        # Without a root (latents that are no numbers) the loss becomes NaN, which the trainer stops at.
        return torch.where(failed == 0, root, torch.nan)
