"""Randomness of a step: the same for every row, however the batch is sharded."""

from __future__ import annotations

import pytest
import torch

from spae.pyramid import Pyramid
from spae.training.step_random import BatchShard, StepRandom, sample_depths

PYRAMID = Pyramid((1, 2, 4))


def random_of(recipe_of, shards, **fields):
    values = {
        "batch_size": 8,
        "decode_batch_size": 4,
        "thresholds": (0.9, 0.8, 0.7),
        "target": "sampled",
        "semantic_positions": 2,
    }
    recipe = recipe_of(pyramid=(1, 2, 4), **(values | fields))
    step = StepRandom(recipe, PYRAMID, 3, torch.Generator().manual_seed(1))
    return [
        step.shard(BatchShard.of(shard, shards, recipe.data.images_decoded, recipe.data.batch_size))
        for shard in range(shards)
    ]


@pytest.mark.parametrize("shards", [2, 4])
def test_shards_together_are_the_whole_batch(recipe_of, shards):
    (whole,), cut = random_of(recipe_of, 1), random_of(recipe_of, shards)
    assert torch.cat([one.depths for one in cut]).equal(whole.depths)
    decoded, rest = 4 // shards, 4 // shards
    for layer in range(3):
        positions = [one.semantic.positions[layer] for one in [whole, *cut]]
        assert all(one is None if positions[0] is None else one.equal(positions[0]) for one in positions)
        words = [one.semantic.words[layer] for one in cut]
        together = torch.cat([one[:decoded] for one in words] + [one[decoded : decoded + rest] for one in words])
        assert together.equal(whole.semantic.words[layer])
    for count in (5, 2):
        assert torch.cat([one.uniform(count) for one in cut]).equal(whole.uniform(count))


def test_successive_calls_differ_and_repeat_with_the_seed(recipe_of):
    first, second = random_of(recipe_of, 1)[0], random_of(recipe_of, 1)[0]
    assert first.uniform(9).equal(second.uniform(9)) and not first.uniform(9).equal(first.uniform(9))


def test_expected_targets_and_recipes_without_thresholds_sample_nothing(recipe_of):
    found = random_of(recipe_of, 1, target="expected", semantic_positions=99)[0]
    assert found.semantic.words == (None,) * 3 and found.semantic.positions == (None,) * 3
    assert random_of(recipe_of, 1, thresholds=())[0].semantic is None


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_shards_cover_every_row_once(shards):
    rows = torch.arange(12)
    taken = [BatchShard.of(shard, shards, 8, 12).take(rows) for shard in range(shards)]
    assert torch.cat(taken).sort().values.equal(rows) and {len(one) for one in taken} == {12 // shards}
    assert all((one[: 8 // shards] < 8).all() and (one[8 // shards :] >= 8).all() for one in taken)
    moved = BatchShard.of(1, 2, 12, 12).shifted(6)
    assert moved.take(rows[6:]).equal(rows[6:])


@pytest.mark.parametrize(("dropout", "depth"), [(0.0, 4), (0.6, 4), (0.6, 1)])
def test_layer_dropout_decodes_a_part_of_the_images_from_fewer_layers(dropout, depth):
    depths = sample_depths(4000, depth, dropout, torch.Generator().manual_seed(0))
    counts = torch.bincount(depths, minlength=5)
    if dropout == 0 or depth == 1:
        assert counts[depth] == 4000
    else:
        assert counts[0] == 0 and counts[4].item() == pytest.approx(1600, abs=120)
        assert all(count == pytest.approx(800, abs=120) for count in counts[1:4].tolist())
