"""A model with a semantic and a reconstruction branch.

B batch, N positions, C width of an embedding, K projected coordinates.
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
    """A tokenizer model that skips the reconstruction branch when only semantic layers are asked for.

    Most prompts ask for those alone, and the branch takes half of the encoder's time.

    Args:
        autoencoder: its encoder is a `DualEncoder`.
        quantizer: a `ProjectedSAQ`.
        latent_norm: a `ProjectedNorm`.
    """

    quantizer: ProjectedSAQ
    latent_norm: ProjectedNorm

    def encode(self, images: Tensor, depth: int | None = None) -> Quantized:
        """[B, 3, H, W] -> tokens. Latents that none of the layers compares are zeros."""
        if depth is None or depth > self.quantizer.semantic_layers:
            return super().encode(images, depth)
        encoder = self.autoencoder.encoder
        assert isinstance(encoder, DualEncoder)
        semantic = at_least_float32(in_raster_order(encoder.semantic(images)))
        return self.quantizer(F.pad(self.latent_norm.semantic(semantic), (0, self.latent_norm.width)), depth)
