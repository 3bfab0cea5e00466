"""Vector quantization: one token a position, as in VQGAN (arXiv 2012.09841) and LQAE (2302.00902).

B batch, N positions, C width, V entries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spae.errors import ShapeError
from spae.pyramid import Pyramid
from spae.quantizers.learning import Learning
from spae.quantizers.rq import ResidualQuantizer
from spae.quantizers.search import MAX_BYTES


class VectorQuantizer(ResidualQuantizer):
    """The residual quantizer of one layer, which leaves no residual.

    `VectorQuantizer(codebook, pyramid)` is frozen. VQGAN's, which starts at random, is
    `VectorQuantizer(random_codebook(V, C), pyramid, learning=MovingAverage(initial_usage=0))`.

    Args:
        codebook, learning, l2_normalize, search, max_bytes: as for Quantizer.
        pyramid: must have one layer, the whole grid.

    Raises:
        ShapeError: the pyramid has more than one layer.
    """

    def __init__(
        self,
        codebook: Tensor,
        pyramid: Pyramid,
        *,
        learning: Learning | None = None,
        l2_normalize: bool = False,
        search: torch.dtype = torch.float32,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if pyramid.depth != 1:
            raise ShapeError(f"vector quantization has one layer, got a pyramid of {pyramid.depth}")
        super().__init__(
            codebook, pyramid, learning=learning, l2_normalize=l2_normalize, search=search, max_bytes=max_bytes
        )
