"""Recipes: what they refuse, and the rate they ask for."""

from __future__ import annotations

import itertools

import pytest

from spae.errors import InputError, UnknownName
from spae.training.recipe import OptimizerConfig, parse_recipe
from spae.training.recipes import get_recipe


def test_settings_change_fields(recipe_of):
    base = recipe_of()
    changed = base.with_settings(
        [
            "optimizer.steps=50",
            "optimizer.learning_rate=2e-4",
            "semantics.thresholds=[0.9, 0.8]",
            "name=other",
            "optimizer.precision=bf16",
            "semantics.scorer=label_text",
        ]
    )
    assert (changed.optimizer.steps, changed.optimizer.learning_rate, changed.semantics.thresholds) == (
        50,
        2e-4,
        (0.9, 0.8),
    )
    assert changed.name == "other" and changed.optimizer.precision == "bf16"
    assert base.optimizer.steps == 6 and changed != base
    assert base.with_settings([]) == base == recipe_of()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optimizer.steps", "GROUP.FIELD=VALUE, got 'optimizer.steps'"),
        ("steps=5", "--set: a recipe has no field 'steps': did you mean 'optimizer.steps'"),
        ("optimizer.stepz=5", "no field 'optimizer.stepz': did you mean 'optimizer.steps'"),
        ("optimizer=5", "no field 'optimizer'"),
        ("model.image_size=true", "image_size.*integer, got True"),
        ("=5", "no field ''"),
        ("optimizer.steps=0", "steps.*got 0"),
        ("optimizer.steps=many", "steps.*got 'many'"),
        ("optimizer.steps=2.5", "steps"),
        ("optimizer.learning_rate=-1", "learning_rate"),
        ("optimizer.learning_rate=NaN", "learning_rate"),
        ("model.quantizer=lfq", "quantizer"),
        ("model.codebook=learned", "saq averages words of a frozen codebook"),
        ("semantics.thresholds=[0.9]", "thresholds and scorer go together, got scorer none and 1 thresholds: set both"),
        ("model.pyramid=[1,3,4]", "pyramid.*divide"),
        ("model.pyramid=picta", "unknown pyramid preset"),
        ("model.num_frames=4", "videos need a pyramid over time"),
        (
            "optimizer.gradient_accumulation_steps=3",
            "batch_size 4 and decode_batch_size 4 must be divisible by gradient_accumulation_steps 3",
        ),
        ("semantics.semantic_warmup_steps=2", "needs thresholds: leave it at 0"),
        ("model.projected_layers=2", "projected_layers needs quantizer saq with a latent_scale, got saq and 0.0"),
        ("model.projected_dim=0", "projected_dim"),
        ("optimizer.inflation=central", "set init_from and num_frames"),
        ("optimizer.precision=bf8", "precision"),
        ("appearance.layer_dropout=1", "layer_dropout"),
        ("optimizer.ema_decay=1", "ema"),
        ("semantics.semantic_weight_min=2", "semantic_weight_min must not exceed semantic_weight_max"),
        ("optimizer.betas=0.9", "betas"),
    ],
)
def test_settings_that_do_not_fit_are_one_clear_line(recipe_of, setting, words):
    with pytest.raises(InputError, match=words) as caught:
        recipe_of().with_settings([setting])
    assert "\n" not in str(caught.value)


def test_layers_with_thresholds_are_not_projected(recipe_of):
    projected = ["model.latent_scale=2", "model.projected_layers=2"]
    assert (
        recipe_of()
        .with_settings([*projected, "semantics.thresholds=[0.9,0.9]", "semantics.scorer=label_text"])
        .model.projected_layers
        == 2
    )
    with pytest.raises(InputError, match=r"of 4 layers, thresholds \(3\) and projected_layers \(2\) take more"):
        recipe_of().with_settings([*projected, "semantics.thresholds=[0.9,0.9,0.9]", "semantics.scorer=label_text"])


def test_a_learned_codebook_has_no_thresholds(recipe_of):
    with pytest.raises(InputError, match="thresholds"):
        recipe_of(quantizer="vq").with_settings(["semantics.thresholds=[0.9]"])
    with pytest.raises(InputError, match=r"^file: unknown field 'stepz'"):
        values = recipe_of().model_dump(mode="json")
        parse_recipe(values | {"stepz": 3}, "file")


def test_recipes_are_values(recipe_of):
    with pytest.raises(ValueError, match="frozen"):
        recipe_of().optimizer.steps = 7
    with pytest.raises(ValueError, match="frozen"):
        recipe_of().optimizer = recipe_of().optimizer


@pytest.mark.parametrize(
    ("steps", "warmup", "cooldown"), [(2400, 100, 0.4), (50, 0, 0.0), (10, 3, 1.0), (20, 10, 0.4), (100, 1, 0.01)]
)
def test_the_rate_warms_up_then_falls_to_zero(steps, warmup, cooldown):
    optimizer = OptimizerConfig(steps=steps, warmup_steps=warmup, cooldown_fraction=cooldown, learning_rate=0.01)
    rates = [optimizer.rate(step) for step in range(steps + 1)]
    assert rates[-1] == 0 and all(0 < rate <= 0.01 for rate in rates[:-1])
    after = rates[max(0, warmup - 1) :]
    assert all(a >= b for a, b in itertools.pairwise(after))
    if cooldown <= 0.4 and warmup < steps / 2:
        before = rates[:warmup]
        assert before == pytest.approx([0.01 * (i + 1) / warmup for i in range(warmup)])


def test_the_rate_by_hand():
    optimizer = OptimizerConfig(steps=1000, warmup_steps=100, cooldown_fraction=0.4, learning_rate=1.0)
    assert optimizer.rate(0) == pytest.approx(0.01) and optimizer.rate(99) == optimizer.rate(100) == 1.0
    # A quarter of the run after warm-up the unit has passed once: 1 / sqrt(2).
    assert optimizer.rate(350) == pytest.approx(2**-0.5)
    # Cool-down starts at 600; at 800 it has halved what the inverse square root leaves.
    assert optimizer.rate(800) == pytest.approx(0.5 * (1 + 4 * 0.7) ** -0.5)


def test_an_unknown_recipe_gets_the_near_one():
    with pytest.raises(UnknownName, match="unknown recipe 'picto_spea': did you mean 'picto_spae'"):
        get_recipe("picto_spea")


def test_every_field_has_a_description(recipe_of):
    fields = list(recipe_of().fields())
    assert all(text for _, _, text in fields)
    assert len({name for name, _, _ in fields}) == len(fields) > 60
    names = [name.rpartition(".")[2] for name, _, _ in fields]
    assert len(set(names)) == len(names), "a field's own name says which it is"


@pytest.mark.parametrize(("schedule", "expected"), [("constant", 1.0), ("cosine", 0.5), ("inverse_sqrt", 3**-0.5)])
def test_schedules_in_the_middle_of_a_run(schedule, expected):
    optimizer = OptimizerConfig(steps=1000, warmup_steps=0, cooldown_fraction=0.0, learning_rate=1.0, schedule=schedule)
    assert optimizer.rate(500) == pytest.approx(expected)


def test_pyramid_may_be_a_list_of_layers(recipe_of):
    recipe = recipe_of(quantizer="rq").with_settings(["model.pyramid=[1,[2,2],4]"])
    assert (
        recipe.model.layers.layers == ((1, 1), (2, 2), (4, 4))
        and parse_recipe(recipe.model_dump(mode="json"), "here") == recipe
    )
