"""Autoencoder and quantizer as one trainable module.

B batch, H W pixels, N positions, C width, D layers.
"""

from __future__ import annotations

from torch import Tensor, nn

from spae.networks import Autoencoder
from spae.quantizers import Quantized, StreamingAverageQuantizer, VectorQuantizer


class TokenizerModel(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] to tokens and back.

    Args:
        autoencoder: encoder and decoder.
        quantizer: tokens of the latent grid.
    """

    def __init__(self, autoencoder: Autoencoder, quantizer: StreamingAverageQuantizer | VectorQuantizer) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.quantizer = quantizer

    def encode(self, pictures: Tensor) -> tuple[Tensor, Quantized]:
        """The latents z [B, N, C] and what the quantizer makes of them."""
        z = self.autoencoder.encode(pictures).float()
        return z, self.quantizer(z)

    def decode(self, embeddings: Tensor) -> Tensor:
        """[B, N, C] -> [B, 3, H, W], about [-1, 1], not clipped."""
        return self.autoencoder.decode(embeddings, self.quantizer.pyramid.grid)
