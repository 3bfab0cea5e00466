"""The recipes of the paper: their numbers, what their docstrings promise, and that their parts fit together."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

import results
from spae.errors import UnknownName
from spae.pyramid import Pyramid
from spae.tokenizers.config import check_grid
from spae.training.recipe import Recipe, parse_recipe
from spae.training.recipes import MODULES, RECIPES, get_recipe
from spae.training.recipes.catalog import FACTS, catalog

FULL = [name for module in ("image", "video", "baselines", "ablations") for name in MODULES[module]]


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_valid_and_has_its_name(name):
    recipe = get_recipe(name)
    assert isinstance(recipe, Recipe) and recipe.name == name
    assert parse_recipe(recipe.model_dump(mode="json"), name) == recipe
    check_grid(recipe.model)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_states_source_cost_and_expected_figures(name):
    facts = catalog()[name]
    assert facts.title and all(getattr(facts, fact.lower()) for fact in FACTS)
    assert f"-m spae train --recipe {name}" in facts.command


def test_docstrings_read_without_import_are_those_of_the_functions():
    import importlib

    facts = catalog()
    for name, module in RECIPES.items():
        function = getattr(importlib.import_module(f"spae.training.recipes.{module}"), name)
        words = " ".join((function.__doc__ or "").split())
        said = facts[name]
        told = f"{said.title} Source: {said.source} Data: {said.data} Cost: {said.cost} Expected: {said.expected}"
        assert words == f"{told} Command: {said.command}"


def paper_figures() -> set[tuple[str, str, float]]:
    file = Path(results.__file__).with_name("paper_results.csv")
    with file.open(newline="", encoding="utf-8") as stream:
        return {(row["table"], row["metric"], float(row["value"])) for row in csv.DictReader(stream) if row["value"]}


@pytest.mark.parametrize("name", FULL)
def test_expected_figures_are_printed_in_the_table_named(name):
    known, said = paper_figures(), catalog()[name].expected
    (table,) = re.findall(r"\(Table (\d)\)", said)
    metrics = [
        (table, metric, float(value)) for metric, value in re.findall(r"\b(FID|IS|LPIPS|CLIP|FVD) ([\d.]+\d)", said)
    ]
    metrics += [(table, "accuracy_percent", float(value)) for value in re.findall(r"([\d.]+) %", said)]
    assert metrics and set(metrics) <= known, said


@pytest.mark.parametrize(
    ("name", "tokens", "grid"),
    [
        ("image", 597, (16, 16)), ("image_8", 1109, (16, 16)), ("image_256", 597, (16, 16)),
        ("imagenet21k", 597, (16, 16)), ("disjoint", 597, (16, 16)), ("gpt", 597, (16, 16)), ("mnist", 37, (4, 4)),
        ("mnist_full", 37, (4, 4)), ("video", 2197, (4, 16, 16)), ("vqgan", 256, (16, 16)), ("lqae", 256, (16, 16)),
        ("ablation_frozen_codebook", 256, (16, 16)), ("ablation_rq", 512, (16, 16)),
    ],
)  # fmt: skip
def test_tokens_of_the_paper(name, tokens, grid):
    assert get_recipe(name).model.layers.tokens == tokens and get_recipe(name).model.layers.grid == grid


def test_numbers_of_section_4_1_and_appendix_b_1():
    image, video, lqae = (get_recipe(name) for name in ("image", "video", "lqae"))
    semantics, appearance, data, optimizer = image.semantics, image.appearance, image.data, image.optimizer
    assert semantics.thresholds == (0.98, 0.95, 0.9, 0.85, 0.8)
    assert (semantics.scorer, semantics.clip_model, semantics.target) == ("open_clip", "ViT-L-14", "sampled")
    assert (semantics.semantic_weight, appearance.commitment_weight) == (1, 0.33)
    assert (appearance.gan, appearance.gan_weight, appearance.lecam_weight) == ("stylegan", 0.1, 1e-4)
    assert (appearance.perceptual, appearance.perceptual_weight, appearance.layer_dropout) == ("resnet50", 0.1, 0)
    assert (data.batch_size, data.decode_batch_size, image.model.latent_scale) == (256, 256, 0)
    assert (optimizer.steps, optimizer.learning_rate, optimizer.discriminator_lr) == (450_000, 1e-4, 1e-4)
    assert (optimizer.betas, optimizer.ema_decay, optimizer.schedule) == ((0, 0.99), 0.999, "inverse_sqrt")
    assert (video.data.batch_size, video.optimizer.steps, video.model.num_frames) == (512, 130_000, 16)
    assert (video.optimizer.inflation, video.optimizer.init_from) == ("central", "runs/train/image")
    mnist = get_recipe("mnist_full")
    assert (mnist.optimizer.steps, mnist.data.batch_size) == (10_000, 256)
    assert get_recipe("image_8").semantics == semantics, "the semantic loss stays on the first five"
    vqgan = get_recipe("vqgan").model
    assert (vqgan.codebook, vqgan.codebook_size, vqgan.codebook_dim) == ("learned", 1024, 256)
    assert (lqae.model.mask_ratio, lqae.model.l2_normalize, lqae.model.codebook) == (0.5, True, "frozen")
    assert (lqae.appearance.commitment_weight, lqae.appearance.masked_lm_weight) == (0.005, 1e-4)
    assert (lqae.appearance.gan, lqae.appearance.perceptual, lqae.semantics.scorer) == ("none", "none", "none")
    assert (lqae.semantics.thresholds, lqae.optimizer.schedule) == ((), "cosine")
    names = {get_recipe(name).model.vocabulary for name in ("gpt", "lqae", "image")}
    assert names == {"ada-002", "roberta-base", "smollm2"}


def difference(first: str, second: str) -> set[str]:
    one, other = ({name: value for name, value, _ in get_recipe(recipe).fields()} for recipe in (first, second))
    return {field.rpartition(".")[2] for field in one if one[field] != other[field]} - {"name"}


@pytest.mark.parametrize(
    ("row", "neighbour", "fields"),
    [
        ("ablation_frozen_codebook", "ablation_vq", {"codebook"}),
        ("ablation_semantic", "ablation_frozen_codebook", {"scorer", "thresholds"}),
        ("ablation_rq", "ablation_semantic", {"quantizer", "pyramid"}),
        ("ablation_saq", "ablation_rq", {"quantizer"}),
        ("ablation_pyramid", "ablation_saq", {"pyramid", "thresholds"}),
        ("ablation_pyramid", "image", set()),
        ("ablation_one_threshold", "ablation_pyramid", {"thresholds"}),
        ("ablation_constant_weight", "ablation_pyramid", {"dynamic_weight"}),
        ("ablation_no_perceptual", "ablation_pyramid", {"perceptual"}),
        ("vqgan", "ablation_vq", set()),
        ("image_8", "image", {"pyramid"}),
        ("image_256", "image", {"pyramid", "network", "image_size"}),
        ("imagenet21k", "image_256", set()),
        ("disjoint", "image", {"exclude_classes"}),
        ("gpt", "image", {"vocabulary"}),
    ],
)
def test_ablation_differs_from_its_neighbour_in_one_thing(row, neighbour, fields):
    assert difference(row, neighbour) == fields


def test_rows_of_one_threshold_and_of_whole_layers():
    one = get_recipe("ablation_one_threshold").semantics.thresholds
    assert len(one) == 5 and set(one) == {0.8}
    saq = get_recipe("ablation_saq")
    assert saq.model.layers == Pyramid([16, 16]) and saq.semantics.thresholds == (0.98,)


def test_a_dash_is_an_underscore_and_near_misses_are_named():
    assert get_recipe("image-8") == get_recipe("image_8")
    with pytest.raises(UnknownName, match="unknown recipe 'imaeg': did you mean 'image'"):
        get_recipe("imaeg")
