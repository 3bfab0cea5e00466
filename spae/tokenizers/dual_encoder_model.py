"""A model whose first layers name a picture and whose last layers draw it.

B batch, N positions, C width of an embedding, K drawing coordinates.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from spae.networks.autoencoder import in_raster_order
from spae.networks.dual_encoder import Towers
from spae.networks.projected_norm import DrawingNorm
from spae.quantizers import DrawingSaq, Quantized
from spae.tokenizers.model import TokenizerModel, at_least_float32


class DrawingModel(TokenizerModel):
    """As every model; where only layers that name are asked for, the encoder that draws is left out.

    That is what most prompts ask for, and half of an encoder's time.

    Args:
        autoencoder: its encoder is a `Towers`.
        quantizer: a `DrawingSaq`.
        latent_norm: a `DrawingNorm`.
    """

    quantizer: DrawingSaq
    latent_norm: DrawingNorm

    def encode(self, pictures: Tensor, depth: int | None = None) -> Quantized:
        """[B, 3, H, W] -> tokens. Latents that no layer so far looks at are zeros."""
        if depth is None or depth > self.quantizer.naming:
            return super().encode(pictures, depth)
        towers = self.autoencoder.encoder
        assert isinstance(towers, Towers)
        named = at_least_float32(in_raster_order(towers.naming(pictures)))
        return self.quantizer(F.pad(self.latent_norm.naming(named), (0, self.latent_norm.width)), depth)
