"""Latents normalized to the mean of a frozen codebook and a multiple of its standard deviation.

B batch, N positions, C width, V words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LatentNorm(nn.Module):
    """Each channel normalized over batch and positions, then given the codebook's mean and scaled deviation.

    A learned codebook moves to where the latents are; a frozen one cannot. Without this norm a small encoder maps all
    positions to a handful of words within 40 steps and recovers slowly, or lets the latents grow until SAQ's later
    layers, which look up 2z - e, repeat the first word. In evaluation the running statistics replace the batch's.
    Not in the paper; recipes set `latent_scale` to use it.

    Args:
        codebook: [V, C].
        scale: standard deviation of the latents over that of the codebook, channel by channel. At 1 few words are in
            use and the semantic loss falls slowly; at 2 both were better.
        momentum: of the running statistics.
    """

    def __init__(self, codebook: Tensor, scale: float, momentum: float = 0.05) -> None:
        super().__init__()
        self.momentum = momentum
        self.scale = scale
        width = codebook.shape[1]
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        # In float64, so that the order of summing, which differs between machines, is rounded away.
        exact = codebook.double()
        self.register_buffer("target_mean", exact.mean(0).to(codebook.dtype), persistent=False)
        self.register_buffer("target_std", exact.std(0).to(codebook.dtype), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        flat = F.batch_norm(
            z.flatten(0, 1), self.get_buffer("running_mean"), self.get_buffer("running_var"),
            training=self.training, momentum=self.momentum,
        )  # fmt: skip
        return (flat * (self.scale * self.get_buffer("target_std")) + self.get_buffer("target_mean")).view_as(z)

    def standardize(self, embeddings: Tensor) -> Tensor:
        """What the decoder reads: the codebook's mean to 0 and its standard deviation to 1. [B, N, C] -> [B, N, C].

        Word embeddings are small and share a large mean, which would drown their differences in the decoder's first
        convolution.
        """
        return (embeddings - self.get_buffer("target_mean")) / self.get_buffer("target_std")
