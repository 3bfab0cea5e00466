"""Semantic loss, Eq. 7 of arXiv 2306.17842, and its dynamic weight (Eq. 9).

B batch, N_l positions of layer l, C width, V words, K labels, M candidates in the largest pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from spae.errors import InputError
from spae.quantizers.search import WordTable
from spae.semantics.pool import candidate_pool

Target = Literal["expected", "sampled"]
TARGETS: dict[Target, str] = {
    "expected": "the mean over the pool",
    "sampled": "one word of the pool, sampled for each position and step (the paper)",
}
"""What a position is pulled towards, with its description for reports. Both have the same mean; the first has no
variance."""


@dataclass(frozen=True)
class Pool:
    """C_l of Eq. 4 for every label.

    Attributes:
        candidates: [K, M] word ids.
        weights: [K, M], uniform over the pool, zero on padding, rows sum to 1.
    """

    candidates: Tensor
    weights: Tensor


@dataclass(frozen=True)
class SemanticRandom:
    """The random numbers of one semantic loss, made before it, so that each microbatch can be given its share.

    Attributes:
        positions: per layer, the positions that are scored; None scores all.
        words: per layer [B, P] float64 in [0, 1), which candidate a position is pulled to; None for "expected".
    """

    positions: tuple[Tensor | None, ...]
    words: tuple[Tensor | None, ...]


def semantic_random(
    sizes: Sequence[int], batch: int, positions: int, target: Target, generator: torch.Generator | None
) -> SemanticRandom:
    """Random numbers for layers of `sizes` positions each.

    Args:
        batch: B.
        positions: at most so many positions of a layer are scored (an unbiased estimate of the mean over all of them;
            the product with the words is the main cost).
        target: see TARGETS.

    Raises:
        InputError: an unknown target.
    """
    if target not in TARGETS:
        raise InputError(f"the semantic target is one of {', '.join(TARGETS)}, got {target!r}")
    chosen: list[Tensor | None] = []
    words: list[Tensor | None] = []
    for size in sizes:
        chosen.append(torch.randperm(size, generator=generator)[:positions] if size > positions else None)
        shape = (batch, min(size, positions))
        sampled = target == "sampled"
        words.append(torch.rand(*shape, dtype=torch.float64, generator=generator) if sampled else None)
    return SemanticRandom(tuple(chosen), tuple(words))


def semantic_pools(scores: Tensor, thresholds: Sequence[float]) -> tuple[Pool, ...]:
    """C_1 ... C_D' for each image or label.

    Args:
        scores: [K, V], s of Eq. 6.
        thresholds: rho_1 ... rho_D'. The ablation without per-layer thresholds repeats one: (0.8,) * 5.
    """
    # A pool is large: layers with the same threshold share it.
    made = {threshold: Pool(*candidate_pool(scores, threshold)) for threshold in dict.fromkeys(thresholds)}
    return tuple(made[threshold] for threshold in thresholds)


def layer_semantic_loss(
    z_l: Tensor, pool: Pool, labels: Tensor, table: WordTable, uniform: Tensor | None = None
) -> Tensor:
    """Cross entropy of softmax(-||z_l - e||^2) with the target; a scalar, the mean over images and positions.

    ||z||^2 is the same for every word, so it drops out of the softmax.

    Args:
        z_l: [B, P, C] vectors looked up at layer l.
        labels: [B] row of the pool for each image.
        table: the codebook.
        uniform: [B, P] float64 in [0, 1), which candidate is the target ("sampled"); None takes the mean over the
            pool ("expected").
    """
    batch, positions, width = z_l.shape
    scores = table.scores(z_l.reshape(-1, width)).view(batch, positions, -1) * 2
    normalizer = torch.logsumexp(scores, dim=-1).float()
    if uniform is None:
        candidates = pool.candidates[labels][:, None].expand(-1, positions, -1)
        wanted = (scores.gather(2, candidates).float() * pool.weights[labels][:, None]).sum(-1)
    else:
        chosen = sampled_candidates(pool, labels, uniform)
        wanted = scores.gather(2, chosen[..., None])[..., 0].float()
    return (normalizer - wanted).mean()


def sampled_candidates(pool: Pool, labels: Tensor, uniform: Tensor) -> Tensor:
    """[B, P] word ids: the candidate that each number in [0, 1), [B, P] float64, falls on."""
    # In float64: a rounded product of the last sum could reach past the pool, into its padding.
    sums = pool.weights[labels].double().cumsum(1)
    place = torch.searchsorted(sums, uniform.to(sums.device) * sums[:, -1:], right=True)
    return pool.candidates[labels].gather(1, place)


def semantic_loss(
    targets: Sequence[Tensor], pools: Sequence[Pool], labels: Tensor, table: WordTable, random: SemanticRandom
) -> Tensor:
    """Mean over the first D' = len(pools) layers of the loss of each layer; a scalar.

    Args:
        targets: per layer, z_l [B, N_l, C].
        pools: per layer.
        labels: [B] row of the pools for each image.
        table: the codebook.
        random: as `semantic_random` gives for these layers.

    Raises:
        InputError: no pool, or more pools than layers.
    """
    if not 0 < len(pools) <= len(targets):
        raise InputError(f"a semantic loss takes pools for 1 to {len(targets)} layers, got {len(pools)}")
    terms = []
    for z_l, pool, chosen, words in zip(targets, pools, random.positions, random.words, strict=False):
        scored = z_l if chosen is None else z_l[:, chosen.to(z_l.device)]
        terms.append(layer_semantic_loss(scored, pool, labels, table, words))
    return torch.stack(terms).mean()


def dynamic_weight(appearance: Tensor, semantic: Tensor, low: float, high: float) -> Tensor:
    """w of Eq. 9, sg(appearance / semantic), clamped to [low, high]; a scalar without gradient.

    Without bounds the ratio diverges on a small set of images as the semantic loss nears zero.
    """
    return (appearance.detach() / semantic.detach().clamp(min=1e-6)).clamp(low, high)
