"""Recipes: what they refuse, and the rate they ask for."""

from __future__ import annotations

import itertools

import pytest

from spae.errors import InputError, UnknownName
from spae.training.recipe import Recipe, parse_recipe
from spae.training.recipes import get_recipe


def test_settings_change_fields_and_the_hash(recipe_of):
    base = recipe_of()
    changed = base.with_settings(
        [
            "steps=50",
            "learning_rate=2e-4",
            "thresholds=[0.9, 0.8]",
            "name=other",
            "precision=bf16",
            "semantics=label_text",
        ]
    )
    assert (changed.steps, changed.learning_rate, changed.thresholds) == (50, 2e-4, (0.9, 0.8))
    assert changed.name == "other" and changed.precision == "bf16"
    assert base.steps == 6 and changed.fingerprint != base.fingerprint
    assert base.with_settings([]).fingerprint == base.fingerprint == recipe_of().fingerprint


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("steps", "key=value.*got 'steps'"),
        ("stepz=5", "key=value.*'stepz=5'.*steps"),
        ("=5", "key=value"),
        ("steps=0", "steps.*got 0"),
        ("steps=many", "steps.*got 'many'"),
        ("steps=2.5", "steps"),
        ("learning_rate=-1", "learning_rate"),
        ("learning_rate=NaN", "learning_rate"),
        ("quantizer=lfq", "quantizer"),
        ("codebook=learned", "saq averages words of a frozen codebook"),
        ("thresholds=[0.9]", "thresholds and semantics go together, got semantics none and 1 thresholds: set both"),
        ("pyramid=[1,3,4]", "pyramid.*divide"),
        ("pyramid=picta", "unknown pyramid preset"),
        ("frames=4", "clips need a pyramid over time"),
        ("accumulation=3", "batch 4 and drawn 4 must be divisible by accumulation 3"),
        ("semantic_warmup_steps=2", "leave semantic_warmup_steps at 0"),
        ("projected_layers=2", "drawing coordinates are of saq with a latent_scale, got saq and 0.0"),
        ("projected_dim=0", "projected_dim"),
        ("inflation=central", "set initial and frames"),
        ("precision=bf8", "precision"),
        ("layer_dropout=1", "layer_dropout"),
        ("ema=1", "ema"),
        ("semantic_weight_min=2", "semantic_weight_min must not exceed semantic_weight_max"),
        ("betas=0.9", "betas"),
    ],
)
def test_settings_that_do_not_fit_are_one_clear_line(recipe_of, setting, words):
    with pytest.raises(InputError, match=words) as caught:
        recipe_of().with_settings([setting])
    assert "\n" not in str(caught.value)


def test_layers_with_thresholds_do_not_draw(recipe_of):
    drawing = ["latent_scale=2", "projected_layers=2"]
    assert recipe_of().with_settings([*drawing, "thresholds=[0.9,0.9]", "semantics=label_text"]).projected_layers == 2
    with pytest.raises(InputError, match=r"of 4 layers, thresholds \(3\) and projected_layers \(2\) take more"):
        recipe_of().with_settings([*drawing, "thresholds=[0.9,0.9,0.9]", "semantics=label_text"])


def test_a_learned_codebook_has_no_thresholds(recipe_of):
    with pytest.raises(InputError, match="thresholds"):
        recipe_of(quantizer="vq").with_settings(["thresholds=[0.9]"])
    with pytest.raises(InputError, match=r"^file: stepz"):
        parse_recipe({"name": "a", "quantizer": "vq", "steps": 3, "stepz": 3}, "file")


def test_recipes_are_values(recipe_of):
    with pytest.raises(ValueError, match="frozen"):
        recipe_of().steps = 7
    prints = {recipe_of(**fields).fingerprint for fields in ({}, {"seed": 1}, {"checkpoint_every": 7}, {"name": "b"})}
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("steps", "warmup", "cooldown"), [(2400, 100, 0.4), (50, 0, 0.0), (10, 3, 1.0), (20, 10, 0.4), (100, 1, 0.01)]
)
def test_the_rate_warms_up_then_falls_to_zero(steps, warmup, cooldown):
    recipe = Recipe(
        name="a", quantizer="vq", steps=steps, warmup=warmup, cooldown=cooldown, learning_rate=0.01
    )  # fmt: skip
    rates = [recipe.rate(step) for step in range(steps + 1)]
    assert rates[-1] == 0 and all(0 < rate <= 0.01 for rate in rates[:-1])
    after = rates[max(0, warmup - 1) :]
    assert all(a >= b for a, b in itertools.pairwise(after))
    if cooldown <= 0.4 and warmup < steps / 2:
        before = rates[:warmup]
        assert before == pytest.approx([0.01 * (i + 1) / warmup for i in range(warmup)])


def test_the_rate_by_hand():
    recipe = Recipe(name="a", quantizer="vq", steps=1000, warmup=100, cooldown=0.4, learning_rate=1.0)
    assert recipe.rate(0) == pytest.approx(0.01) and recipe.rate(99) == recipe.rate(100) == 1.0
    # A quarter of the run after warm-up the unit has passed once: 1 / sqrt(2).
    assert recipe.rate(350) == pytest.approx(2**-0.5)
    # Cool-down starts at 600; at 800 it has halved what the inverse square root leaves.
    assert recipe.rate(800) == pytest.approx(0.5 * (1 + 4 * 0.7) ** -0.5)


def test_an_unknown_recipe_gets_the_near_one():
    with pytest.raises(UnknownName, match="unknown recipe 'picto_spea': did you mean 'picto_spae'"):
        get_recipe("picto_spea")


def test_older_recipes_keep_their_meaning():
    """A recipe of the time when vq meant learned and thresholds meant label text."""
    assert Recipe(name="a", quantizer="vq", steps=3).codebook == "learned"
    assert Recipe(name="a", quantizer="saq", steps=3).codebook == "frozen"
    assert Recipe(name="a", quantizer="saq", steps=3, thresholds=(0.9,)).semantics == "label_text"
    frozen = Recipe(name="a", quantizer="saq", steps=3).with_settings(["quantizer=vq"])
    assert frozen.codebook == "frozen"


@pytest.mark.parametrize(("schedule", "expected"), [("constant", 1.0), ("cosine", 0.5), ("inverse_sqrt", 3**-0.5)])
def test_schedules_in_the_middle_of_a_run(schedule, expected):
    recipe = Recipe(
        name="a", quantizer="vq", steps=1000, warmup=0, cooldown=0.0, learning_rate=1.0, schedule=schedule
    )  # fmt: skip
    assert recipe.rate(500) == pytest.approx(expected)


def test_a_pyramid_may_be_written_out():
    recipe = Recipe(name="a", quantizer="rq", steps=3).with_settings(["pyramid=[1,[2,2],4]"])
    assert recipe.layers.layers == ((1, 1), (2, 2), (4, 4)) and Recipe(**recipe.model_dump(mode="json")) == recipe
