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
    "sampled": "one word of the pool, drawn anew for each position and step (the paper)",
}
"""What a position is pulled towards, and how reports say it. Both have the same mean; the first has no noise."""


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
class SemanticDraws:
    """The chance of one semantic loss, drawn before it, so that parts of a batch can each be given their own.

    Attributes:
        positions: per layer, the positions that are scored; None where all are.
        words: per layer [B, P] float64 in [0, 1), which candidate a position is pulled to; None for "expected".
    """

    positions: tuple[Tensor | None, ...]
    words: tuple[Tensor | None, ...]


def semantic_draws(
    sizes: Sequence[int], batch: int, positions: int, target: Target, generator: torch.Generator | None
) -> SemanticDraws:
    """Draws for layers of `sizes` positions each; the other arguments as for `semantic_loss`."""
    chosen: list[Tensor | None] = []
    words: list[Tensor | None] = []
    for size in sizes:
        chosen.append(torch.randperm(size, generator=generator)[:positions] if size > positions else None)
        shape = (batch, min(size, positions))
        sampled = target == "sampled"
        words.append(torch.rand(*shape, dtype=torch.float64, generator=generator) if sampled else None)
    return SemanticDraws(tuple(chosen), tuple(words))


def semantic_pools(scores: Tensor, thresholds: Sequence[float]) -> tuple[Pool, ...]:
    """C_1 ... C_D' for each image or label.

    Args:
        scores: [K, V], s of Eq. 6.
        thresholds: rho_1 ... rho_D'. The ablation without per-layer thresholds repeats one: (0.8,) * 5.
    """
    # A pool is large: layers with one threshold share it.
    made = {threshold: Pool(*candidate_pool(scores, threshold)) for threshold in dict.fromkeys(thresholds)}
    return tuple(made[threshold] for threshold in thresholds)


def layer_semantic_loss(
    z_l: Tensor,
    pool: Pool,
    labels: Tensor,
    table: WordTable,
    target: Target = "expected",
    generator: torch.Generator | None = None,
    draws: Tensor | None = None,
) -> Tensor:
    """Cross entropy of softmax(-||z_l - e||^2) with the target; a scalar, the mean over images and positions.

    ||z||^2 is the same for every word, so it drops out of the softmax.

    Args:
        z_l: [B, P, C] vectors looked up at layer l.
        labels: [B] row of the pool for each image.
        table: the codebook.
        target: see TARGETS.
        generator: draws the target words of "sampled".
        draws: [B, P] in [0, 1), such draws made before; None uses the generator.

    Raises:
        InputError: another target.
    """
    batch, positions, width = z_l.shape
    scores = table.scores(z_l.reshape(-1, width)).view(batch, positions, -1) * 2
    spread = torch.logsumexp(scores, dim=-1).float()
    if target == "expected":
        candidates = pool.candidates[labels][:, None].expand(-1, positions, -1)
        wanted = (scores.gather(2, candidates).float() * pool.weights[labels][:, None]).sum(-1)
    elif target == "sampled":
        if draws is None:
            draws = torch.rand(batch, positions, dtype=torch.float64, generator=generator)
        chosen = drawn_candidates(pool, labels, draws)
        wanted = scores.gather(2, chosen[..., None])[..., 0].float()
    else:
        raise InputError(f"the semantic target is one of {', '.join(TARGETS)}, got {target!r}")
    return (spread - wanted).mean()


def sampled_candidates(pool: Pool, labels: Tensor, positions: int, generator: torch.Generator | None) -> Tensor:
    """[B, P] word ids, each drawn by the weights of its image's pool; on the CPU's generator wherever the pool is."""
    return drawn_candidates(pool, labels, torch.rand(len(labels), positions, dtype=torch.float64, generator=generator))


def drawn_candidates(pool: Pool, labels: Tensor, draws: Tensor) -> Tensor:
    """[B, P] word ids: the candidate that each draw in [0, 1), [B, P] float64, falls on."""
    # In float64: a rounded product of the last sum could reach past the pool, into its padding.
    sums = pool.weights[labels].double().cumsum(1)
    place = torch.searchsorted(sums, draws.to(sums.device) * sums[:, -1:], right=True)
    return pool.candidates[labels].gather(1, place)


def semantic_loss(
    targets: Sequence[Tensor],
    pools: Sequence[Pool],
    labels: Tensor,
    table: WordTable,
    positions: int,
    generator: torch.Generator,
    target: Target = "expected",
) -> Tensor:
    """Mean over the first D' = len(pools) layers of the loss of each layer; a scalar.

    Args:
        targets: per layer, z_l [B, N_l, C].
        table: the codebook.
        positions: at most so many positions of a layer, drawn anew each time (an unbiased
            estimate of the mean over all of them; the product with the words is the main cost).
        generator: draws the positions and, for "sampled", the target words.
        target: see TARGETS.

    Raises:
        InputError: more pools than layers, or another target.
    """
    _check_layers(len(targets), len(pools))
    sizes = [z_l.shape[1] for z_l in targets[: len(pools)]]
    draws = semantic_draws(sizes, len(labels), positions, target, generator)
    return drawn_semantic_loss(targets, pools, labels, table, draws, target)


def drawn_semantic_loss(
    targets: Sequence[Tensor],
    pools: Sequence[Pool],
    labels: Tensor,
    table: WordTable,
    draws: SemanticDraws,
    target: Target = "expected",
) -> Tensor:
    """`semantic_loss` with chance that was drawn before; raises as it does."""
    _check_layers(len(targets), len(pools))
    terms = []
    for z_l, pool, chosen, words in zip(targets, pools, draws.positions, draws.words, strict=False):
        if chosen is not None:
            z_l = z_l[:, chosen.to(z_l.device)]
        terms.append(layer_semantic_loss(z_l, pool, labels, table, target, draws=words))
    return torch.stack(terms).mean()


def _check_layers(layers: int, pools: int) -> None:
    if not 0 < pools <= layers:
        raise InputError(f"a semantic loss takes pools for 1 to {layers} layers, got {pools}")


def dynamic_weight(appearance: Tensor, semantic: Tensor, low: float, high: float) -> Tensor:
    """w of Eq. 9, sg(appearance / semantic), held within [low, high]; a scalar without gradient.

    Unbounded, the ratio runs away on a small set of images as the semantic loss nears zero.
    """
    return (appearance.detach() / semantic.detach().clamp(min=1e-6)).clamp(low, high)
