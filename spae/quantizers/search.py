"""Exact nearest words of a codebook, in bounded memory.

R rows, C width, V words.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def nearest_words(rows: Tensor, codebook: Tensor, norms: Tensor | None = None, max_bytes: int = 64 << 20) -> Tensor:
    """The index of the nearest word of each row; the lowest index among equals.

    Exact in the precision of the product: under autocast to bfloat16, as in training, a word
    may win that is farther by that format's rounding.

    Args:
        rows: [R, C].
        codebook: [V, C].
        norms: [V] squared norms of the codebook, where the caller has them.
        max_bytes: bound on the matrix of products held at a time.

    Returns: [R] int64.
    """
    if norms is None:
        norms = codebook.square().sum(1)
    # ||row||^2 is the same for every word, and halving keeps the order: argmax of row.e - ||e||^2 / 2.
    offset = (-0.5 * norms)[None, :]
    chunk = max(1, max_bytes // (codebook.shape[0] * codebook.element_size()))
    found = [torch.addmm(offset, part, codebook.T).argmax(1) for part in rows.split(chunk)]
    return torch.cat(found) if found else rows.new_zeros(0, dtype=torch.long)
