"""The one search for nearest words, and the logits of the semantic loss from the same product.

R rows, C width, V words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.errors import ShapeError

# Words are padded to whole blocks: a vectorized reduction finds the greatest of each block, and only the winning block
# is searched, where a plain argmax walks all words one by one.
BLOCK = 128

# Bound on the scores held at a time. 250 rows against 32,000 words: enough that the product runs at full speed.
MAX_BYTES = 32 << 20


class WordTable(nn.Module):
    """A codebook made ready for search.

    The nearest word of a row is the one with the greatest row.e - ||e||^2 / 2, because ||row||^2 is
    the same for every word; twice that score is the logit -||row - e||^2 up to the same constant.

    Args:
        codebook: [V, C].
        dtype: arithmetic of the product. In float32 the search is exact; in bfloat16 a word may win
            that is farther by that format's rounding (0.4 % of the score), at a third of the cost.
        max_bytes: bound on the scores held at a time; a single row's are always held.
    """

    matrix: Tensor
    offset: Tensor

    def __init__(self, codebook: Tensor, dtype: torch.dtype = torch.float32, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self.words = len(codebook)
        self.max_bytes = max_bytes
        self.padding = -self.words % BLOCK
        matrix = torch.cat([codebook, codebook.new_zeros(self.padding, codebook.shape[1])])
        self.register_buffer("matrix", matrix.to(dtype), persistent=False)
        # In float64, so that the order of summing, which differs between machines, is rounded away.
        offset = codebook.double().square().sum(1) * -0.5
        self.register_buffer("offset", offset.to(dtype), persistent=False)

    def scores(self, rows: Tensor) -> Tensor:
        """[R, C] -> [R, V + padding]: row.e - ||e||^2 / 2, minus infinity on padding; differentiable in rows."""
        if rows.ndim != 2 or rows.shape[1] != self.matrix.shape[1]:
            raise ShapeError(f"rows must be [R, {self.matrix.shape[1]}], got {tuple(rows.shape)}")
        # Padded here and not in the buffer: an average over all buffers of a model would make NaN of infinities.
        offset = F.pad(self.offset, (0, self.padding), value=-torch.inf)
        # Under autocast the product would be rounded to its format, whatever `dtype` says.
        with torch.autocast(rows.device.type, enabled=False):
            return torch.addmm(offset, rows.to(self.matrix.dtype), self.matrix.T)

    @torch.no_grad()
    def nearest(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest word of each row, the lowest index among equals.

        Args:
            rows: [R, C].

        Returns: indices [R] int64, and margins [R]: how far the runner-up's score lies below the
            winner's. A margin within rounding says that another machine might choose otherwise.
        """
        chunk = max(1, self.max_bytes // (len(self.matrix) * self.matrix.element_size()))
        found, margins = zip(*(self._nearest(part) for part in rows.split(chunk)), strict=True)
        return torch.cat(found), torch.cat(margins)

    def _nearest(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Of one chunk: its scores are let go on return, before those of the next are made."""
        blocks = self.scores(rows).unflatten(1, (-1, BLOCK))
        tops = blocks.amax(2)
        block = tops.argmax(1)
        inside = blocks[torch.arange(len(rows), device=rows.device), block]
        place = inside.argmax(1)
        first = inside.gather(1, place[:, None])
        inside = inside.scatter(1, place[:, None], -torch.inf)
        others = tops.scatter(1, block[:, None], -torch.inf)
        second = torch.maximum(inside.amax(1), others.amax(1))
        return block * BLOCK + place, (first[:, 0] - second).to(rows.dtype)
