"""Residual quantization (RQ): Lee et al., arXiv 2203.01941, over the positions of a pyramid.

B batch, N positions, P of them, C width, V words, D layers. All layers share one codebook. With
every layer the whole grid it is the published RQ; on a pyramid a position has a residual per visit.
"""

from __future__ import annotations

from torch import Tensor

from spae.quantizers.quantizer import Quantizer


class ResidualQuantizer(Quantizer):
    """Quantizes at each layer what the words so far leave over; the embedding is their sum.

    Arguments as for Quantizer: `ResidualQuantizer(codebook, pyramid)` is frozen,
    `ResidualQuantizer(codebook, pyramid, learning=MovingAverage())` learns.
    """

    def _sought(self, z: Tensor, total: Tensor, count: Tensor) -> Tensor:
        """z_l = z - sum_i e(k_i)."""
        return z - total

    def _embedding(self, total: Tensor, count: Tensor) -> Tensor:
        """sum_i e(k_i)."""
        return total
