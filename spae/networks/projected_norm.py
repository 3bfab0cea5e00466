"""Latents of two parts: one held to a frozen codebook's words, and one, made white, to draw with.

B batch, N positions, C width of an embedding, K drawing coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spae.networks.latent_norm import LatentNorm


class WhiteningNorm(nn.Module):
    """Channels without correlation, of mean 0 and one spread, over batch and positions.

    Normalised one by one, channels that say the same reach only the words of a line: 140 different words in a batch of
    32 images where white ones reach 1,050. In evaluation the running statistics stand in for the batch's.

    Args:
        width: K.
        spread: standard deviation of every channel.
        momentum: of the running statistics.
    """

    RIDGE = 1e-3
    """Part of the mean variance that is added to each, so that a channel that says nothing divides by no zero."""

    running_mean: Tensor
    running_covariance: Tensor

    def __init__(self, width: int, spread: float, momentum: float = 0.05) -> None:
        super().__init__()
        self.spread = spread
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
        return (white * self.spread).view_as(z)


class ProjectedNorm(nn.Module):
    """`LatentNorm` for the first C channels of latents, `WhiteningNorm` for the last K.

    Args:
        words: [V, C] frozen word embeddings.
        width: K.
        spread: of the first part, in the words' own.
        drawing_spread: of the second; words have 1 there.
    """

    def __init__(self, words: Tensor, width: int, spread: float, drawing_spread: float) -> None:
        super().__init__()
        self.width = width
        self.naming = LatentNorm(words, spread)
        self.drawing = WhiteningNorm(width, drawing_spread)

    def forward(self, z: Tensor) -> Tensor:
        """[B, N, C + K] -> [B, N, C + K]."""
        return torch.cat([self.naming(z[..., : -self.width]), self.drawing(z[..., -self.width :])], -1)

    def standardise(self, embeddings: Tensor) -> Tensor:
        """For the decoder: the drawing coordinates alone. [B, N, C + K] -> [B, N, K]."""
        return embeddings[..., -self.width :]
