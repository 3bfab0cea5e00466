"""Scores and pools by hand."""

from __future__ import annotations

import itertools

import pytest
import torch

from spae.semantics.pool import ONE_THRESHOLD, THRESHOLDS, candidate_pool, similarity


def test_similarity_is_min_max_over_the_vocabulary():
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    words = torch.tensor([[0.6, 0.8], [1.0, 0.0], [-0.6, 0.8], [0.2, -1.0]])
    # Products: 0.6, 1, -0.6, 0.2 and 0.8, 0, 0.8, -1.
    expected = torch.tensor([[1.2 / 1.6, 1.0, 0.0, 0.8 / 1.6], [1.0, 1 / 1.8, 1.0, 0.0]])
    torch.testing.assert_close(similarity(labels, words), expected)


def members(pool: tuple[torch.Tensor, torch.Tensor]) -> list[dict[int, float]]:
    """Word to weight, of each label, padding left out."""
    return [
        {k: w for k, w in zip(ids, weights, strict=True) if w}
        for ids, weights in zip(pool[0].tolist(), pool[1].tolist(), strict=True)
    ]


SCORES = torch.tensor([[0.0, 1.0, 0.9, 0.8, 0.95], [1.0, 0.0, 0.1, 0.2, 0.3]])


@pytest.mark.parametrize(
    ("threshold", "pools"),
    [
        (1.0, [{1}, {0}]),
        (0.9, [{1, 2, 4}, {0}]),
        (0.8, [{1, 2, 3, 4}, {0}]),
        (0.25, [{1, 2, 3, 4}, {0, 4}]),
        (0.0, [{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}]),
        (1.5, [{1}, {0}]),
    ],
)
def test_the_pool_is_the_words_at_or_above_the_threshold(threshold, pools):
    candidates, weights = candidate_pool(SCORES, threshold)
    assert candidates.shape == weights.shape == (2, max(len(pool) for pool in pools))
    assert [set(row) for row in members((candidates, weights))] == pools
    for row in members((candidates, weights)):
        assert list(row.values()) == pytest.approx([1 / len(row)] * len(row))
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert all(len(set(row)) == len(row) for row in candidates.tolist()), "no word twice"


def test_pools_grow_as_the_threshold_falls():
    scores = torch.rand(6, 50, generator=torch.Generator().manual_seed(1))
    pools = [members(candidate_pool(scores, threshold)) for threshold in (0.98, 0.95, 0.9, 0.85, 0.8)]
    best = scores.argmax(1).tolist()
    for narrow, wide in itertools.pairwise(pools):
        assert all(set(a) <= set(b) for a, b in zip(narrow, wide, strict=True))
    assert all(k in row for rows in pools for k, row in zip(best, rows, strict=True))


def test_equally_close_words_have_no_score_and_no_nan():
    scores = similarity(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.1], [0.5, -0.3]]))
    assert scores.tolist() == [[0.0, 0.0]] and candidate_pool(scores, 0.9)[1].tolist() == [[1.0]]


def test_the_papers_thresholds_fall_layer_by_layer():
    assert THRESHOLDS == (0.98, 0.95, 0.9, 0.85, 0.8) and ONE_THRESHOLD == 0.8
