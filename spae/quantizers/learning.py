"""How a learned codebook is updated.

V entries, C width, R rows that were looked up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MovingAverage:
    """Each entry follows the mean of what it is used for (van den Oord et al., 1711.00937, appendix A.1).

    Entries that fall out of use restart at vectors of the batch, without which most of a small
    model's codebook dies in the first hundred steps.

    Args:
        decay: of the moving averages.
        restart_below: an entry whose average use per batch falls under this restarts.
        initial_usage: how many uses each entry counts at the start. At 0 the initial codebook, a random one, is
            forgotten: the first batch moves each entry to the mean of what chose it, or to a vector of the batch.
    """

    decay: float = 0.99
    restart_below: float = 0.1
    initial_usage: float = 1.0

    @torch.no_grad()
    def step(self, codebook: Tensor, usage: Tensor, sums: Tensor, rows: Tensor, ids: Tensor) -> None:
        """Update the averages and, in place, the codebook with one batch.

        Args:
            codebook: [V, C].
            usage: [V] average number of rows that chose each entry.
            sums: [V, C] average sum of those rows.
            rows: [R, C] what was looked up.
            ids: [R] the entry that each row chose.
        """
        rows = rows.to(sums.dtype)
        used = torch.zeros_like(usage).index_add_(0, ids, torch.ones_like(ids, dtype=usage.dtype))
        summed = torch.zeros_like(sums).index_add_(0, ids, rows)
        usage.lerp_(used, 1 - self.decay)
        sums.lerp_(summed, 1 - self.decay)
        dead = (usage < self.restart_below).nonzero()[:, 0]
        if len(dead):
            usage[dead] = 1.0
            sums[dead] = rows[torch.randint(len(rows), (len(dead),), device=rows.device)]
        codebook.copy_(sums / usage.clamp(min=1e-5)[:, None])


@dataclass(frozen=True)
class Gradient:
    """The codebook is a parameter: `Quantizer.codebook_loss`, added to the objective, moves it (1711.00937, Eq. 3)."""


Learning = MovingAverage | Gradient


def random_codebook(entries: int, width: int) -> Tensor:
    """[V, C], an initial learned codebook: normal, of length about 1; from torch's global generator."""
    return torch.randn(entries, width) / width**0.5
