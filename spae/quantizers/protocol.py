"""The result of a quantizer.

B batch, N positions, C width, D layers, N_l positions of layer l.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Quantized:
    """Tokens of a batch and their embeddings.

    Attributes:
        ids: D LongTensors [B, N_l].
        embeddings: [D, B, N, C]: the embedding up to each layer; zeros where a position has no
            token yet; the last one is straight-through (its gradient goes to z).
        targets: D tensors [B, N_l, C_l]: z_l, the vector that was looked up, with its gradient; C_l is C, or the
            channels that the layer compares.
        visited: [D, N] bool: which positions have a token by each layer.
        margins: D tensors [B, N_l]: the score of each token over the runner-up's in its search.
        channels: D slices of the C channels: those that each layer compares with words.
    """

    ids: tuple[Tensor, ...]
    embeddings: Tensor
    targets: tuple[Tensor, ...]
    visited: Tensor
    margins: tuple[Tensor, ...]
    channels: tuple[slice, ...]


def straight_through(z: Tensor, value: Tensor) -> Tensor:
    """`value`, with the gradient of z."""
    return z + (value - z).detach()
