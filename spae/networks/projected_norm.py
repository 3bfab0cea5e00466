"""Normalization of latents of two parts: the first matched to word embeddings, the second whitened.

B batch, N positions, C width of an embedding, K projected coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spae.networks.latent_norm import LatentNorm


class WhiteningNorm(nn.Module):
    """Channels decorrelated over batch and positions, to mean 0 and one standard deviation.

    Normalized one by one, correlated channels reach only the words along a line: 140 different words in a batch of 32
    images, where whitened ones reach 1,050. In evaluation the running statistics replace the batch's.

    Args:
        width: K.
        scale: standard deviation of every channel.
        momentum: of the running statistics.
    """

    RIDGE = 1e-3
    """Part of the mean variance added to each channel's: a constant channel would make the covariance singular."""

    running_mean: Tensor
    running_covariance: Tensor

    def __init__(self, width: int, scale: float, momentum: float = 0.05) -> None:
        super().__init__()
        self.scale = scale
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_covariance", torch.eye(width))

    def forward(self, z: Tensor) -> Tensor:
        """[B, N, K] -> [B, N, K]."""
        rows = z.flatten(0, 1)
        with torch.autocast(z.device.type, enabled=False):
            if self.training:
                mean = rows.mean(0)
                covariance = (rows - mean).T @ (rows - mean) / len(rows)
                with torch.no_grad():
                    self.running_mean.lerp_(mean, self.momentum)
                    self.running_covariance.lerp_(covariance, self.momentum)
            else:
                mean, covariance = self.running_mean, self.running_covariance
            ridge = self.RIDGE * covariance.diagonal().mean().detach() * torch.eye(len(mean)).to(covariance)
            root = torch.linalg.cholesky(covariance + ridge)
            white = torch.linalg.solve_triangular(root, (rows - mean).T, upper=False).T
        return (white * self.scale).view_as(z)


class ProjectedNorm(nn.Module):
    """`LatentNorm` for the first C channels of latents, `WhiteningNorm` for the last K.

    Args:
        words: [V, C] frozen word embeddings.
        width: K.
        scale: standard deviation of the first part over that of the words, channel by channel.
        projected_scale: standard deviation of the second part; the words' projected coordinates have 1.
    """

    def __init__(self, words: Tensor, width: int, scale: float, projected_scale: float) -> None:
        super().__init__()
        self.width = width
        self.semantic = LatentNorm(words, scale)
        self.reconstruction = WhiteningNorm(width, projected_scale)

    def forward(self, z: Tensor) -> Tensor:
        """[B, N, C + K] -> [B, N, C + K]."""
        return torch.cat([self.semantic(z[..., : -self.width]), self.reconstruction(z[..., -self.width :])], -1)

    def standardize(self, embeddings: Tensor) -> Tensor:
        """What the decoder reads: the projected coordinates alone. [B, N, C + K] -> [B, N, K]."""
        return embeddings[..., -self.width :]
