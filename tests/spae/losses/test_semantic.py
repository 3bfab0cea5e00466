"""Eq. 7 on five words, worked out in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from spae.errors import InputError
from spae.losses.semantic import (
    TARGETS,
    Pool,
    dynamic_weight,
    layer_semantic_loss,
    sampled_candidates,
    semantic_loss,
    semantic_pools,
    semantic_random,
)
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


def loss_of(targets, pools, labels, positions, generator, target="expected"):
    """The loss with random numbers from `generator`."""
    sizes = [z_l.shape[1] for z_l in targets[: len(pools)]]
    random = semantic_random(sizes, len(labels), positions, target, generator)
    return semantic_loss(targets, pools, labels, TABLE, random)


def uniform(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("pool", [[2], [0, 3], [0, 1, 2, 3, 4]], ids=str)
def test_one_vector(pool):
    z = (0.4, 1.1)
    loss = layer_semantic_loss(torch.tensor([[z]]), pool_of(pool), torch.tensor([0]), TABLE)
    assert loss.ndim == 0 and loss.item() == pytest.approx(cross_entropy(z, pool), abs=1e-5)


def test_each_image_has_the_pool_of_its_label_and_padding_has_no_weight():
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
    loss = loss_of(targets, pools, labels, 16, generator)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_sampled_positions_are_distinct_and_estimate_the_whole_layer():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(1, 4, 2, generator=generator)
    label, pool = torch.tensor([0]), pool_of([1])
    each = [cross_entropy(tuple(v), [1]) for v in target[0].tolist()]
    pairs = {round((each[i] + each[j]) / 2, 4) for i in range(4) for j in range(i)}
    found = [loss_of([target], [pool], label, 2, generator).item() for _ in range(300)]
    assert {round(value, 4) for value in found} == pairs, "every pair of positions comes up, and nothing else"
    assert sum(found) / 300 == pytest.approx(sum(each) / 4, abs=0.15)


def test_a_sampled_target_is_one_word_of_the_pool():
    """Each sample gives the loss of one candidate, all of them come up, and their mean is the expectation."""
    z = (0.4, 1.1)
    pool, label = pool_of([1], [0, 2, 3]), torch.tensor([1])
    found = [
        layer_semantic_loss(torch.tensor([[z]]), pool, label, TABLE, one.view(1, 1)).item() for one in uniform(600)
    ]
    each = [cross_entropy(z, [k]) for k in (0, 2, 3)]
    assert {round(value, 4) for value in found} == {round(value, 4) for value in each}
    assert sum(found) / 600 == pytest.approx(cross_entropy(z, [0, 2, 3]), abs=0.15)
    exact = layer_semantic_loss(torch.tensor([[z]]), pool, label, TABLE)
    assert exact.item() == pytest.approx(sum(each) / 3, abs=1e-5)


def test_each_position_samples_its_own_word_and_never_padding():
    pool = pool_of([1], [0, 2, 3], [3, 0])
    labels = torch.tensor([1, 0, 2, 1])
    found = sampled_candidates(pool, labels, uniform(4, 500))
    assert found.shape == (4, 500)
    assert [set(row) for row in found.tolist()] == [{0, 2, 3}, {1}, {0, 3}, {0, 2, 3}]
    assert not found[0].equal(found[3])
    for row, size in ((0, 3), (2, 2)):
        counts = found[row].bincount(minlength=5)
        assert all(abs(int(count) - 500 / size) < 60 for count in counts if count)


def test_the_last_number_below_one_stays_inside_the_pool():
    pool = pool_of([0, 1, 2], [3])
    last = torch.full((2, 2), 1 - 2**-53, dtype=torch.float64)
    assert sampled_candidates(pool, torch.tensor([0, 1]), last).tolist() == [[2, 2], [3, 3]]


def test_sampling_reaches_every_layer():
    generator = torch.Generator().manual_seed(0)
    targets = [torch.randn(2, n, 2, generator=generator) for n in (1, 4)]
    pools = [pool_of([0], [1]), pool_of([2], [4])]
    labels = torch.tensor([1, 0])
    both = [loss_of(targets, pools, labels, 16, generator, target).item() for target in TARGETS]
    assert both[0] == pytest.approx(both[1], abs=1e-6), "pools of one word leave nothing to sample"


def test_unknown_targets_and_too_many_pools_are_refused():
    z, generator = torch.zeros(1, 1, 2), torch.Generator()
    with pytest.raises(InputError, match="one of expected, sampled, got 'best'"):
        semantic_random([1], 1, 1, "best", generator)
    for pools in ([], [pool_of([0])] * 2):
        with pytest.raises(InputError, match=f"pools for 1 to 1 layers, got {len(pools)}"):
            loss_of([z], pools, torch.tensor([0]), 1, generator)


def test_one_threshold_for_all_layers_is_one_pool():
    scores = torch.tensor([[0.0, 1.0, 0.9, 0.8, 0.95]])
    several, one = semantic_pools(scores, (0.98, 0.95, 0.9)), semantic_pools(scores, (0.8,) * 3)
    inside = [{int(k) for k in pool.candidates[pool.weights > 0]} for pool in (*several, *one)]
    assert inside == [{1}, {1, 4}, {1, 2, 4}] + [{1, 2, 3, 4}] * 3
    assert one[0] is one[1] is one[2]
    z = [torch.tensor([[(0.4, 1.1)]])] * 3
    found = loss_of(z, one, torch.tensor([0]), 1, torch.Generator())
    assert found.item() == pytest.approx(cross_entropy((0.4, 1.1), [1, 2, 3, 4]), abs=1e-5)


@pytest.mark.parametrize(
    ("appearance", "semantic", "weight"), [(0.2, 4.0, 0.05), (9.0, 3.0, 1.0), (0.01, 5.0, 0.02), (1.0, 0.0, 1.0)]
)
def test_the_dynamic_weight_is_the_ratio_within_bounds(appearance, semantic, weight):
    terms = [torch.tensor(value, requires_grad=True) for value in (appearance, semantic)]
    found = dynamic_weight(*terms, low=0.02, high=1.0)
    assert found.item() == pytest.approx(weight) and not found.requires_grad
