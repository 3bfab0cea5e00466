"""Autoencoder and quantizer as one trainable module.

B batch, H W pixels, N positions, C width, D layers.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from spae.networks import Autoencoder
from spae.networks.latent_norm import EmbeddingScale, LatentNorm
from spae.quantizers import Quantized, StreamingAverageQuantizer, VectorQuantizer

NORM = "latent_norm."


def to_tensor(pixels: np.ndarray) -> Tensor:
    """[B, H, W, 3] uint8 -> [B, 3, H, W] float in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


class TokenizerModel(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] to tokens and back.

    Args:
        autoencoder: encoder and decoder.
        quantizer: tokens of the latent grid.
        scale: of what the decoder is given, where there is one.
        latent_norm: stands between encoder and quantizer while training; a trained model has none.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        quantizer: StreamingAverageQuantizer | VectorQuantizer,
        scale: EmbeddingScale | None = None,
        latent_norm: LatentNorm | None = None,
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.scale = scale
        self.latent_norm = latent_norm
        self.quantizer = quantizer

    def latents(self, pictures: Tensor) -> Tensor:
        """[B, 3, H, W] -> z [B, N, C], in the precision of the weights or better."""
        z = self.autoencoder.encode(pictures)
        z = z if z.dtype == torch.float64 else z.float()
        return z if self.latent_norm is None else self.latent_norm(z)

    def encode(self, pictures: Tensor, depth: int | None = None) -> Quantized:
        """What the quantizer makes of the latents; of its first `depth` layers only, where given."""
        return self.quantizer(self.latents(pictures), depth)

    def decode(self, embeddings: Tensor) -> Tensor:
        """[B, N, C] -> [B, 3, H, W], about [-1, 1], not clipped."""
        if self.scale is not None:
            embeddings = self.scale(embeddings)
        return self.autoencoder.decode(embeddings, self.quantizer.pyramid.grid)


def folded(model: TokenizerModel, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state of a model in training as that of the same model without its norm.

    Args:
        model: gives the structure; its own weights are not looked at.
        state: of such a model.
    """
    if model.latent_norm is None:
        return state
    norm = copy.deepcopy(model.latent_norm)
    norm.load_state_dict({name[len(NORM) :]: value for name, value in state.items() if name.startswith(NORM)})
    last = f"autoencoder.encoder.layers.{len(model.autoencoder.encoder.layers) - 1}"
    plain = {name: value for name, value in state.items() if not name.startswith(NORM)}
    plain[f"{last}.weight"], plain[f"{last}.bias"] = norm.fold(plain[f"{last}.weight"], plain[f"{last}.bias"])
    return plain
