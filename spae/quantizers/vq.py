"""Vector quantization: one token a position, as in VQGAN (arXiv 2012.09841) and LQAE (2302.00902).

B batch, N positions, C width, V entries.
"""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor

from spae.errors import InputError, ShapeError
from spae.pyramid import Pyramid
from spae.quantizers.learning import Learning, MovingAverage
from spae.quantizers.rq import ResidualQuantizer
from spae.quantizers.search import MAX_BYTES


class VectorQuantizer(ResidualQuantizer):
    """The residual quantizer of one layer, which leaves no residual.

    `VectorQuantizer(codebook, pyramid)` is frozen, or learns from there with a `learning`.
    `VectorQuantizer(entries, width, pyramid)` begins at random and learns by moving average; its
    first batch in training moves each entry to what chose it, or to a vector of the batch.

    Args:
        codebook: [V, C].
        pyramid: must have one layer, the whole grid.
        learning: None keeps the codebook frozen.
        by_angle: vectors and words are compared at length 1, though embeddings keep their own (LQAE).
        entries: V, the size of the codebook.
        width: C, its width.
        decay, restart_below: as for MovingAverage.
        search, max_bytes: as for Quantizer.

    Raises:
        ShapeError: the pyramid has more than one layer.
    """

    @overload
    def __init__(
        self,
        codebook: Tensor,
        pyramid: Pyramid,
        /,
        *,
        learning: Learning | None = None,
        by_angle: bool = False,
        search: torch.dtype = torch.float32,
        max_bytes: int = MAX_BYTES,
    ) -> None: ...

    @overload
    def __init__(
        self, entries: int, width: int, pyramid: Pyramid, /, *, decay: float = 0.99, restart_below: float = 0.1
    ) -> None: ...

    def __init__(
        self,
        first: Tensor | int,
        second: Pyramid | int,
        third: Pyramid | None = None,
        /,
        *,
        learning: Learning | None = None,
        by_angle: bool = False,
        search: torch.dtype = torch.float32,
        max_bytes: int = MAX_BYTES,
        decay: float = 0.99,
        restart_below: float = 0.1,
    ) -> None:
        if isinstance(first, Tensor) and isinstance(second, Pyramid):
            codebook, pyramid = first, second
        elif isinstance(first, int) and isinstance(second, int) and third is not None:
            codebook, pyramid = torch.randn(first, second) / second**0.5, third
            learning = MovingAverage(decay, restart_below)
        else:
            raise InputError("a vector quantizer takes (codebook, pyramid) or (entries, width, pyramid)")
        if pyramid.depth != 1:
            raise ShapeError(f"vector quantization has one layer, got a pyramid of {pyramid.depth}")
        super().__init__(codebook, pyramid, learning=learning, by_angle=by_angle, search=search, max_bytes=max_bytes)
        if isinstance(first, int):
            # Of no use yet: the averages hold nothing of a random start.
            self.usage.zero_()
            self.sums.zero_()
