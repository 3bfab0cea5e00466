"""Streaming average quantization (SAQ), Eq. 2 and 3 of arXiv 2306.17842.

B batch, N positions, P of them, C width, V words, D layers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spae.pyramid import Pyramid
from spae.quantizers.quantizer import Quantizer
from spae.quantizers.search import MAX_BYTES, WordTable


class StreamingAverageQuantizer(Quantizer):
    """Quantizes each position by the running mean of its words.

    Args:
        codebook: [V, C] frozen word embeddings.
        pyramid: which positions each of the D layers visits.
        search: arithmetic of the search; anything but float32 is for training.
        max_bytes: bound on the scores that the search holds at a time.
    """

    table: WordTable

    def __init__(
        self,
        codebook: Tensor,
        pyramid: Pyramid,
        search: torch.dtype = torch.float32,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        super().__init__(codebook, pyramid, search=search, max_bytes=max_bytes)

    def _sought(self, z: Tensor, total: Tensor, count: Tensor) -> Tensor:
        """Eq. 2, which telescopes: z_l = z + sum_i (z - e(k_i)) = (n + 1) z - total, n words so far here."""
        return (count + 1) * z - total

    def _embedding(self, total: Tensor, count: Tensor) -> Tensor:
        """Eq. 3."""
        return total / count.clamp(min=1)
