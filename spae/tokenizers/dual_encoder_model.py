"""A model whose first layers name an image and whose last layers draw it.

B batch, N positions, C width of an embedding, K drawing coordinates.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from spae.networks.autoencoder import in_raster_order
from spae.networks.dual_encoder import DualEncoder
from spae.networks.projected_norm import ProjectedNorm
from spae.quantizers import ProjectedSAQ, Quantized
from spae.tokenizers.model import TokenizerModel, at_least_float32


class DualEncoderModel(TokenizerModel):
    """As every model; where only layers that name are asked for, the encoder that draws is left out.

    That is what most prompts ask for, and half of an encoder's time.

    Args:
        autoencoder: its encoder is a `DualEncoder`.
        quantizer: a `ProjectedSAQ`.
        latent_norm: a `ProjectedNorm`.
    """

    quantizer: ProjectedSAQ
    latent_norm: ProjectedNorm

    def encode(self, images: Tensor, depth: int | None = None) -> Quantized:
        """[B, 3, H, W] -> tokens. Latents that no layer so far looks at are zeros."""
        if depth is None or depth > self.quantizer.naming:
            return super().encode(images, depth)
        towers = self.autoencoder.encoder
        assert isinstance(towers, DualEncoder)
        named = at_least_float32(in_raster_order(towers.naming(images)))
        return self.quantizer(F.pad(self.latent_norm.naming(named), (0, self.latent_norm.width)), depth)
