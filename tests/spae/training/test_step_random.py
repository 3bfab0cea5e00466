"""Draws of a step: the same for every row, however the batch is cut."""

from __future__ import annotations

import pytest
import torch

from spae.pyramid import Pyramid
from spae.training.objective import StepDraws
from spae.training.step_random import Share

PYRAMID = Pyramid((1, 2, 4))


def draws_of(recipe_of, parts, **fields):
    values = {"batch": 8, "drawn": 4, "thresholds": (0.9, 0.8, 0.7), "target": "sampled", "semantic_positions": 2}
    recipe = recipe_of(pyramid=(1, 2, 4), **(values | fields))
    step = StepDraws(recipe, PYRAMID, 3, torch.Generator().manual_seed(1))
    return [step.of(Share.of(part, parts, recipe.images_drawn, recipe.batch)) for part in range(parts)]


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_put_together_are_the_whole(recipe_of, parts):
    (whole,), cut = draws_of(recipe_of, 1), draws_of(recipe_of, parts)
    assert torch.cat([one.depths for one in cut]).equal(whole.depths)
    drawn, rest = 4 // parts, 4 // parts
    for layer in range(3):
        positions = [one.semantic.positions[layer] for one in [whole, *cut]]
        assert all(one is None if positions[0] is None else one.equal(positions[0]) for one in positions)
        words = [one.semantic.words[layer] for one in cut]
        together = torch.cat([one[:drawn] for one in words] + [one[drawn : drawn + rest] for one in words])
        assert together.equal(whole.semantic.words[layer])
    for count in (5, 2):
        assert torch.cat([one.uniform(count) for one in cut]).equal(whole.uniform(count))


def test_steps_and_seeds_draw_differently(recipe_of):
    first, second = draws_of(recipe_of, 1)[0], draws_of(recipe_of, 1)[0]
    assert first.uniform(9).equal(second.uniform(9)) and not first.uniform(9).equal(first.uniform(9))


def test_expected_targets_and_flat_models_draw_nothing(recipe_of):
    draws = draws_of(recipe_of, 1, target="expected", semantic_positions=99)[0]
    assert draws.semantic.words == (None,) * 3 and draws.semantic.positions == (None,) * 3
    assert draws_of(recipe_of, 1, thresholds=())[0].semantic is None


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_shares_cover_every_row_once(parts):
    rows = torch.arange(12)
    taken = [Share.of(part, parts, 8, 12).take(rows) for part in range(parts)]
    assert torch.cat(taken).sort().values.equal(rows) and {len(one) for one in taken} == {12 // parts}
    assert all((one[: 8 // parts] < 8).all() and (one[8 // parts :] >= 8).all() for one in taken)
    moved = Share.of(1, 2, 12, 12).shifted(6)
    assert moved.take(rows[6:]).equal(rows[6:])
