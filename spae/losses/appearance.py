"""Appearance terms of Eq. 8: reconstruction and commitment.

B batch, N positions, C width, D layers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spae.quantizers import Quantized


def commitment(z: Tensor, quantized: Quantized) -> Tensor:
    """sum over layers of the masked mean of (Z - sg(Z_hat up to l))^2; a scalar.

    A position without a token by layer l has no embedding there and is left out (Eq. 3 is 0/0).
    The mean runs over batch, visited positions and the channels that the layer compares with words.

    Args:
        z: [B, N, C] encoder output, with gradient.
        quantized: its tokens and embeddings.
    """
    total = z.new_zeros(())
    layers = zip(quantized.embeddings.detach(), quantized.visited, quantized.channels, strict=True)
    for value, visited, part in layers:
        total = total + (z[:, visited, part] - value[:, visited, part]).square().mean()
    return total


def decoder_input(quantized: Quantized, depths: Tensor) -> Tensor:
    """The decoder's input for each image of a batch: its embedding up to its own depth.

    The paper decodes all layers in training and reports nothing above layer 5. Here part of each batch is decoded from
    its first layers, so that every prefix of the pyramid can be decoded (`layer_dropout`). Those prefixes carry no
    gradient to the encoder: they train the decoder alone.

    Args:
        depths: [B] int64 in 1..D.

    Returns: [B, N, C].
    """
    batch = torch.arange(len(depths), device=depths.device)
    chosen = quantized.embeddings[depths - 1, batch]
    whole = (depths == len(quantized.embeddings))[:, None, None]
    return torch.where(whole, chosen, chosen.detach())
