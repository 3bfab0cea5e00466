"""Autoencoder and quantizer as one trainable module.

B batch, H W pixels, N positions, C width, D layers. Where images are [B, 3, H, W], videos are [B, 3, T, H, W].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from spae.networks import Autoencoder
from spae.networks.latent_norm import LatentNorm
from spae.networks.projected_norm import ProjectedNorm
from spae.quantizers import Quantized, Quantizer


def to_tensor(pixels: np.ndarray) -> Tensor:
    """[B, H, W, 3] uint8 -> [B, 3, H, W] float in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


Uniform = Callable[[int], Tensor]
"""n to random numbers in [0, 1), [B, n], one row an image. The trainer makes them, so that they do not depend on how
many processes share the batch."""


def at_least_float32(z: Tensor) -> Tensor:
    """Latents in the precision of the search: half precision from autocast becomes float32."""
    return z if z.dtype == torch.float64 else z.float()


class TokenizerModel(nn.Module):
    """Images [B, 3, H, W] in [-1, 1] to tokens and back.

    Args:
        autoencoder: encoder and decoder.
        quantizer: tokens of the latent grid.
        latent_norm: normalizes latents before the quantizer and embeddings before the decoder; optional.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        quantizer: Quantizer,
        latent_norm: LatentNorm | ProjectedNorm | None = None,
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.latent_norm = latent_norm
        self.quantizer = quantizer

    def latents(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> z [B, N, C], in the precision of the weights or better."""
        z = at_least_float32(self.autoencoder.encode(images))
        return z if self.latent_norm is None else self.latent_norm(z)

    def encode(self, images: Tensor, depth: int | None = None) -> Quantized:
        """[B, 3, H, W] -> the tokens of all layers, or of the first `depth`."""
        return self.quantizer(self.latents(images), depth)

    def decode(self, embeddings: Tensor) -> Tensor:
        """[B, N, C] -> [B, 3, H, W], about [-1, 1], not clipped."""
        if self.latent_norm is not None:
            embeddings = self.latent_norm.standardize(embeddings)
        return self.autoencoder.decode(embeddings, self.quantizer.pyramid.grid)

    def reconstruct(
        self, embeddings: Tensor, quantized: Quantized, uniform: Uniform
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Training's decoding: images, and the loss terms of this kind of model.

        Args:
            embeddings: [B, N, C] the decoder's input.
            quantized: the tokens behind them.
            uniform: random numbers, for models that mask some tokens; unused here.

        Returns: [B, 3, H, W], and scalars by the name that recipes weight them by (`NAME_weight`): none here.
        """
        return self.decode(embeddings), {}
