"""Eq. 7 on five words, worked out in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from spae.losses.semantic import Pool, dynamic_weight, layer_semantic_loss, semantic_loss
from spae.quantizers.search import WordTable

WORDS = [(0.0, 0.0), (1.0, 0.0), (0.0, 2.0), (-1.5, 0.5), (3.0, -1.0)]
TABLE = WordTable(torch.tensor(WORDS))


def cross_entropy(z: tuple[float, float], pool: list[int]) -> float:
    """- sum over the pool of log softmax(-||z - e||^2) at the candidate, over the pool's size."""
    logits = [-((z[0] - x) ** 2 + (z[1] - y) ** 2) for x, y in WORDS]
    total = sum(math.exp(logit) for logit in logits)
    return -sum(math.log(math.exp(logits[k]) / total) for k in pool) / len(pool)


def pool_of(*rows: list[int]) -> Pool:
    """Padded with word 4."""
    widest = max(len(row) for row in rows)
    candidates = torch.tensor([row + [4] * (widest - len(row)) for row in rows])
    weights = torch.tensor([[1 / len(row)] * len(row) + [0.0] * (widest - len(row)) for row in rows])
    return Pool(candidates, weights)


@pytest.mark.parametrize("pool", [[2], [0, 3], [0, 1, 2, 3, 4]], ids=str)
def test_one_vector(pool):
    z = (0.4, 1.1)
    loss = layer_semantic_loss(torch.tensor([[z]]), pool_of(pool), torch.tensor([0]), TABLE)
    assert loss.ndim == 0 and loss.item() == pytest.approx(cross_entropy(z, pool), abs=1e-5)


def test_each_picture_has_the_pool_of_its_label_and_padding_counts_nothing():
    z = [[(0.4, 1.1), (1.0, -0.5)], [(-1.0, 0.2), (2.0, 2.0)], [(0.0, 0.0), (0.3, 0.3)]]
    pools = [[1], [0, 2, 3], [3, 1]]
    labels = [2, 0, 1]
    expected = sum(cross_entropy(v, pools[k]) for row, k in zip(z, labels, strict=True) for v in row) / 6
    loss = layer_semantic_loss(torch.tensor(z), pool_of(*pools), torch.tensor(labels), TABLE)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_gradient_is_that_of_the_equation():
    z = torch.tensor([[[0.4, 1.1]]], dtype=torch.float32, requires_grad=True)
    layer_semantic_loss(z, pool_of([0, 2]), torch.tensor([0]), TABLE).backward()
    assert z.grad is not None
    for axis, step in ((0, (1e-5, 0.0)), (1, (0.0, 1e-5))):
        up = cross_entropy((0.4 + step[0], 1.1 + step[1]), [0, 2])
        down = cross_entropy((0.4 - step[0], 1.1 - step[1]), [0, 2])
        assert z.grad[0, 0, axis].item() == pytest.approx((up - down) / 2e-5, abs=1e-4)


def test_layers_beyond_the_pools_are_left_out_and_the_rest_averaged():
    generator = torch.Generator().manual_seed(0)
    targets = [torch.randn(2, n, 2, generator=generator) for n in (1, 4, 16)]
    pools = [pool_of([0], [1]), pool_of([2, 3], [4, 0])]
    labels = torch.tensor([1, 0])
    sets = [[[0], [1]], [[2, 3], [4, 0]]]
    expected = 0.0
    for target, pool in zip(targets, sets, strict=False):
        values = [cross_entropy(tuple(v), pool[k]) for row, k in zip(target.tolist(), (1, 0), strict=True) for v in row]
        expected += sum(values) / len(values) / 2
    loss = semantic_loss(targets, pools, labels, TABLE, 16, generator)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_drawn_positions_are_distinct_and_estimate_the_whole_layer():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(1, 4, 2, generator=generator)
    label, pool = torch.tensor([0]), pool_of([1])
    each = [cross_entropy(tuple(v), [1]) for v in target[0].tolist()]
    pairs = {round((each[i] + each[j]) / 2, 4) for i in range(4) for j in range(i)}
    found = [semantic_loss([target], [pool], label, TABLE, 2, generator).item() for _ in range(300)]
    assert {round(value, 4) for value in found} == pairs, "every pair of positions comes up, and nothing else"
    assert sum(found) / 300 == pytest.approx(sum(each) / 4, abs=0.15)


@pytest.mark.parametrize(
    ("appearance", "semantic", "weight"), [(0.2, 4.0, 0.05), (9.0, 3.0, 1.0), (0.01, 5.0, 0.02), (1.0, 0.0, 1.0)]
)
def test_the_dynamic_weight_is_the_ratio_within_bounds(appearance, semantic, weight):
    terms = [torch.tensor(value, requires_grad=True) for value in (appearance, semantic)]
    found = dynamic_weight(*terms, low=0.02, high=1.0)
    assert found.item() == pytest.approx(weight) and not found.requires_grad
