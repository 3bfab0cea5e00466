"""Semantic loss, Eq. 7 of arXiv 2306.17842.

B batch, N_l positions of layer l, C width, V words, K labels, M candidates in the largest pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spae.quantizers.search import WordTable


@dataclass(frozen=True)
class Pool:
    """C_l of Eq. 4 for every label.

    Attributes:
        candidates: [K, M] word ids.
        weights: [K, M], uniform over the pool, zero on padding, rows sum to 1.
    """

    candidates: Tensor
    weights: Tensor


def layer_semantic_loss(z_l: Tensor, pool: Pool, labels: Tensor, table: WordTable) -> Tensor:
    """Cross entropy of softmax(-||z_l - e||^2) with the uniform expectation over the pool; a scalar.

    The paper samples one candidate a step; the expectation over the pool has the same mean
    and less noise. ||z||^2 is the same for every word, so it drops out of the softmax.

    Args:
        z_l: [B, P, C] vectors looked up at layer l.
        labels: [B] row of the pool for each picture.
        table: the codebook.
    """
    batch, positions, width = z_l.shape
    scores = table.scores(z_l.reshape(-1, width)).view(batch, positions, -1) * 2
    spread = torch.logsumexp(scores, dim=-1).float()
    candidates = pool.candidates[labels][:, None].expand(-1, positions, -1)
    wanted = (scores.gather(2, candidates).float() * pool.weights[labels][:, None]).sum(-1)
    return (spread - wanted).mean()


def semantic_loss(
    targets: Sequence[Tensor],
    pools: Sequence[Pool],
    labels: Tensor,
    table: WordTable,
    positions: int,
    generator: torch.Generator,
) -> Tensor:
    """Mean over the first D' = len(pools) layers of the loss of each layer; a scalar.

    Args:
        targets: per layer, z_l [B, N_l, C].
        table: the codebook.
        positions: at most so many positions of a layer, drawn anew each time (an unbiased
            estimate of the mean over all of them; the product with the words is the main cost).
        generator: draws the positions.
    """
    terms = []
    for z_l, pool in zip(targets, pools, strict=False):
        if z_l.shape[1] > positions:
            chosen = torch.randperm(z_l.shape[1], generator=generator)[:positions].to(z_l.device)
            z_l = z_l[:, chosen]
        terms.append(layer_semantic_loss(z_l, pool, labels, table))
    return torch.stack(terms).mean()


def dynamic_weight(appearance: Tensor, semantic: Tensor, low: float, high: float) -> Tensor:
    """w of Eq. 9, sg(appearance / semantic), held within [low, high]; a scalar without gradient.

    Unbounded, the ratio runs away on a small set of pictures as the semantic loss nears zero.
    """
    return (appearance.detach() / semantic.detach().clamp(min=1e-6)).clamp(low, high)
