"""Vector quantization with a learned codebook, as in VQGAN (arXiv 2012.09841).

B batch, N positions, C width, V entries. The codebook follows the encoder by an exponential
moving average of what each entry is used for (van den Oord et al., 1711.00937, appendix A.1);
entries that fall out of use restart at encoder outputs of the batch, without which most of a
small model's codebook dies in the first hundred steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spae.errors import ShapeError
from spae.pyramid import Pyramid
from spae.quantizers.protocol import Quantized, straight_through
from spae.quantizers.search import WordTable


class VectorQuantizer(nn.Module):
    """One token a position, from a codebook learned by moving average.

    Args:
        entries: V, the size of the codebook.
        width: C, its width.
        pyramid: must have one layer, the whole grid.
        decay: of the moving averages.
        restart_below: an entry whose average use per batch falls under this restarts.
    """

    codebook: Tensor
    usage: Tensor
    sums: Tensor
    TRAINING_ONLY = ("usage", "sums")
    """Buffers that a trained model does without: the moving averages behind the codebook."""

    def __init__(
        self, entries: int, width: int, pyramid: Pyramid, decay: float = 0.99, restart_below: float = 0.1
    ) -> None:
        super().__init__()
        if pyramid.depth != 1:
            raise ShapeError(f"vector quantization has one layer, got a pyramid of {pyramid.depth}")
        self.pyramid = pyramid
        self.decay = decay
        self.restart_below = restart_below
        self.register_buffer("codebook", torch.randn(entries, width) / width**0.5)
        # No use yet: the first batch in training gives entries the mean of what chose them, or one of its vectors.
        self.register_buffer("usage", torch.zeros(entries))
        self.register_buffer("sums", torch.zeros(entries, width))

    def forward(self, z: Tensor, depth: int | None = None) -> Quantized:
        """Args: z [B, N, C]. Returns one layer of ids [B, N] and embeddings [1, B, N, C], whatever `depth`."""
        batch, cells, width = z.shape
        if cells != self.pyramid.cells or width != self.codebook.shape[1]:
            raise ShapeError(f"z must be [B, {self.pyramid.cells}, {self.codebook.shape[1]}], got {tuple(z.shape)}")
        rows = z.detach().reshape(-1, width)
        ids, margins = WordTable(self.codebook, z.dtype).nearest(rows)
        value = self.codebook[ids].view_as(z)
        if self.training:
            self._follow(rows, ids)
        visited = torch.ones(1, cells, dtype=torch.bool, device=z.device)
        ids = ids.view(batch, cells)
        return Quantized((ids,), straight_through(z, value)[None], (z,), visited, (margins.view(batch, cells),))

    @torch.no_grad()
    def _follow(self, rows: Tensor, ids: Tensor) -> None:
        used = torch.zeros_like(self.usage).index_add_(0, ids, torch.ones_like(ids, dtype=self.usage.dtype))
        summed = torch.zeros_like(self.sums).index_add_(0, ids, rows)
        self.usage.lerp_(used, 1 - self.decay)
        self.sums.lerp_(summed, 1 - self.decay)
        dead = (self.usage < self.restart_below).nonzero()[:, 0]
        if len(dead):
            chosen = rows[torch.randint(len(rows), (len(dead),), device=rows.device)]
            self.usage[dead] = 1.0
            self.sums[dead] = chosen
        self.codebook.copy_(self.sums / self.usage.clamp(min=1e-5)[:, None])

    def decode_ids(self, ids: Sequence[Tensor], layers: Sequence[int] | None = None) -> Tensor:
        """The embedding [B, N, C] from ids alone; `layers` may only be the one layer or none of them."""
        value = self.codebook[ids[0]]
        return value if layers is None or 1 in layers else torch.zeros_like(value)
