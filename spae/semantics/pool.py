"""From features to candidate words: Eq. 4 and 6 of arXiv 2306.17842.

K images or labels, V words, E width of the features, M words in the largest pool.
"""

from __future__ import annotations

import torch
from torch import Tensor

# rho_l of layers 1 to 5 (section 4.1), and the value of the ablation with one for all layers: 0.8 is ours, the paper
# prints none.
THRESHOLDS = (0.98, 0.95, 0.9, 0.85, 0.8)
ONE_THRESHOLD = 0.8


def similarity(labels: Tensor, words: Tensor) -> Tensor:
    """s of Eq. 6: dot products, min-max normalised over the vocabulary. [K, E], [V, E] -> [K, V] in [0, 1].

    If all words are equally close, as with a single word, each s is 0.
    """
    scores = labels @ words.T
    low, high = scores.amin(1, keepdim=True), scores.amax(1, keepdim=True)
    spread = high - low
    return (scores - low) / spread.where(spread > 0, torch.ones_like(spread))


def candidate_pool(scores: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """C_l of Eq. 4 for each label: the words with s >= threshold; the best word is always among them.

    Args:
        scores: [K, V], s of Eq. 6.

    Returns: candidates [K, M] (padded with words outside the pool) and their weights [K, M], uniform over
        the pool, zero on padding, each row summing to 1.
    """
    inside = scores >= threshold
    inside[torch.arange(len(scores), device=scores.device), scores.argmax(1)] = True
    largest = int(inside.sum(1).max())
    _, order = (scores * inside).topk(largest, dim=1)
    weights = inside.gather(1, order).float()
    return order, weights / weights.sum(1, keepdim=True)
