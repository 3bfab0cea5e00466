"""One product for the nearest words and for the logits of the semantic loss.

R rows, C width, V words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spae.errors import ShapeError

# Words are padded to whole blocks: the greatest of a block is found by a vectorised reduction,
# and only the winning block is looked through, where a plain argmax walks all words one by one.
BLOCK = 128


class WordTable(nn.Module):
    """A codebook made ready for search.

    The nearest word of a row is the one with the greatest row.e - ||e||^2 / 2, because ||row||^2 is
    the same for every word; twice that score is the logit -||row - e||^2 up to the same constant.

    Args:
        codebook: [V, C].
        dtype: arithmetic of the product. In float32 the search is exact; in bfloat16 a word may win
            that is farther by that format's rounding (0.4 % of the score), at a third of the cost.
        max_bytes: bound on the scores held at a time.
    """

    matrix: Tensor
    offset: Tensor

    def __init__(self, codebook: Tensor, dtype: torch.dtype = torch.float32, max_bytes: int = 64 << 20) -> None:
        super().__init__()
        self.words = len(codebook)
        self.max_bytes = max_bytes
        padding = -self.words % BLOCK
        offset = codebook.float().square().sum(1) * -0.5
        matrix = torch.cat([codebook, codebook.new_zeros(padding, codebook.shape[1])])
        self.register_buffer("matrix", matrix.to(dtype), persistent=False)
        self.register_buffer(
            "offset", torch.cat([offset, offset.new_full((padding,), -torch.inf)]).to(dtype), persistent=False
        )

    def scores(self, rows: Tensor) -> Tensor:
        """[R, C] -> [R, V + padding]: row.e - ||e||^2 / 2, minus infinity on padding; differentiable in rows."""
        if rows.ndim != 2 or rows.shape[1] != self.matrix.shape[1]:
            raise ShapeError(f"rows must be [R, {self.matrix.shape[1]}], got {tuple(rows.shape)}")
        return torch.addmm(self.offset[None, :], rows.to(self.matrix.dtype), self.matrix.T)

    @torch.no_grad()
    def nearest(self, rows: Tensor) -> Tensor:
        """The index of the nearest word of each row, the lowest among equals. [R, C] -> [R] int64."""
        chunk = max(1, self.max_bytes // (len(self.matrix) * self.matrix.element_size()))
        found = []
        for part in rows.split(chunk):
            blocks = self.scores(part).view(len(part), -1, BLOCK)
            block = blocks.amax(2).argmax(1)
            inside = blocks[torch.arange(len(part), device=rows.device), block].argmax(1)
            found.append(block * BLOCK + inside)
        return torch.cat(found) if found else rows.new_zeros(0, dtype=torch.long)
