"""Smoke runs: that each has the structure of its recipe, and that it trains."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from rich.console import Console
from torch import nn

from spae.losses.perceptual import LITE, PerceptualLoss
from spae.network_presets import NETWORKS, VITS, VitPlan
from spae.pyramid import Pyramid
from spae.tokenizers.build import load_model
from spae.training import data_source, pictogram_data, trainer, word_scores
from spae.training.recipe import Recipe
from spae.training.recipes import RECIPES, get_recipe
from spae.training.recipes.ready import check_ready
from spae.training.recipes.smoke import small_pyramid, smoke
from spae.training.trainer import Trainer
from spae.vocabulary import VOCABULARIES

SAME = [
    "model.quantizer", "model.codebook", "model.l2_normalize", "model.num_frames", "semantics.target",
    "semantics.semantic_weight", "semantics.dynamic_weight", "semantics.semantic_weight_reference",
    "appearance.commitment_weight", "appearance.gan", "appearance.gan_weight", "appearance.lecam_weight",
    "appearance.perceptual_weight", "appearance.layer_dropout", "optimizer.inflation", "optimizer.schedule",
    "optimizer.betas",
]  # fmt: skip
# Recipes that differ from another in what the embedded data do not have, or by their name alone.
DUPLICATES = {"imagenet21k", "disjoint", "ablation_pyramid", "ablation_vq"}


def small_recipe(name: str) -> Recipe:
    return smoke(get_recipe(name))


@pytest.mark.parametrize("name", RECIPES)
def test_smoke_keeps_the_structure_of_its_recipe(name):
    big, small = get_recipe(name), small_recipe(name)
    ours, theirs = ({field: value for field, value, _ in recipe.fields()} for recipe in (small, big))
    assert {field: ours[field] for field in SAME} == {field: theirs[field] for field in SAME}
    assert (big.semantics.scorer == "none") == (small.semantics.scorer == "none")
    assert (big.appearance.perceptual == "none") == (small.appearance.perceptual == "none")
    thresholds = small.semantics.thresholds
    assert thresholds == big.semantics.thresholds[: len(thresholds)]

    def whole(recipe):
        return sum(grid == recipe.model.layers.grid for grid in recipe.model.layers.layers)

    assert whole(big) == whole(small)
    coarse = [recipe.model.layers.depth - whole(recipe) for recipe in (big, small)]
    assert (coarse[0] > 0) == (coarse[1] > 0)
    # The semantic loss stays on the layers up to the first one that is the whole grid, or on fewer.
    assert bool(thresholds) == bool(big.semantics.thresholds) and len(thresholds) <= coarse[1] + 1
    if len(big.semantics.thresholds) == coarse[0] + 1:
        assert len(thresholds) == coarse[1] + 1
    assert small.model.image_size <= 64 and small.data.batch_size <= 16 and small.optimizer.steps <= 300
    assert small.name == f"{name}_smoke"


@pytest.mark.parametrize("name", RECIPES)
def test_smoke_lacks_nothing(name):
    check_ready(small_recipe(name))


def test_smoke_runs_differ_as_their_recipes_do():
    groups: dict[str, set[str]] = {}
    for name in RECIPES:
        groups.setdefault(small_recipe(name).replace({"name": "any"}).model_dump_json(), set()).add(name)
    assert sorted(sorted(names) for names in groups.values() if len(names) > 1) == [
        ["ablation_pyramid", "disjoint", "image"], ["ablation_vq", "vqgan"], ["image_256", "imagenet21k"],
    ]  # fmt: skip


def test_pyramids_shrink_to_a_grid_of_four():
    assert small_pyramid(Pyramid.preset("image")) == ((1, 1), (2, 2), (4, 4), (4, 4))
    assert small_pyramid(Pyramid([16, 16])) == ((4, 4), (4, 4))
    layers = small_pyramid(Pyramid.preset("video"))
    assert layers[0] == (1, 1, 1) and layers[-2:] == ((4, 4, 4),) * 2 and Pyramid(layers).depth == 6


@pytest.fixture
def small(monkeypatch, tiny, few_pictograms):
    """Everything that takes time, small: networks, words, images, texts, and the perceptual loss."""
    for preset, (_, multipliers) in list(NETWORKS.items()):
        monkeypatch.setitem(NETWORKS, preset, (4, multipliers))
    monkeypatch.setitem(VITS, "picto-lqae", VitPlan(size=32, patch=8, features=24, layers=1, heads=2, hidden=48))
    for name in ("smollm2", "smollm2-minilm"):
        monkeypatch.setitem(VOCABULARIES, name, lambda: tiny)
    for loader in ("load_pictograms", "load_training_pictograms"):
        monkeypatch.setattr(data_source, loader, lambda: few_pictograms)
    monkeypatch.setattr(pictogram_data, "without_colour", lambda pictograms: np.zeros(len(pictograms.pixels), bool))

    def features(texts):
        generator = torch.Generator().manual_seed(len(texts))
        return nn.functional.normalize(torch.randn(len(texts), 8, generator=generator), dim=1)

    monkeypatch.setattr(word_scores, "text_features", features)

    def perceptual(name, file, side):
        assert (name, file, side) == ("efficientnet-lite0", None, 64)
        return PerceptualLoss(name, "0" * 64, nn.Sequential(nn.Conv2d(3, 2, 8, 8), nn.Flatten()), side, LITE)

    monkeypatch.setattr(trainer, "open_perceptual", perceptual)
    # They take longer than two steps, and have tests of their own.
    monkeypatch.setattr(trainer, "write_curves", lambda log, path: None)


# One of each kind of model and loss trains in the default suite, the others in the slow one.
KINDS = {"picto_spae", "picto_lqae_without_lm", "mnist", "image", "video", "vqgan", "ablation_rq"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in KINDS else [pytest.mark.slow])
        for name in RECIPES
        if name not in DUPLICATES
    ],
)
def test_smoke_trains(name, small, tmp_path):
    recipe = small_recipe(name)
    few = [
        "optimizer.steps=1", "data.batch_size=2", "data.decode_batch_size=2", "optimizer.warmup_steps=0",
        "logging.evaluate_images=4",
    ]  # fmt: skip
    if recipe.model.num_frames:
        # The weights that it starts from are of other widths than these; tests of `load_init_weights` have them.
        few += ["optimizer.init_from=", "optimizer.inflation="]
    AcceleratorState._reset_state()
    PartialState._reset_state()
    metrics = Trainer(recipe.with_settings(few), tmp_path, Console(file=io.StringIO())).run()
    assert metrics and all(torch.isfinite(torch.tensor(value)) for value in metrics.values())
    assert load_model(tmp_path).quantizer.pyramid.tokens == recipe.model.layers.tokens or recipe.model.quantizer == "vq"
    log = (tmp_path / "log.jsonl").read_text()
    assert ("loss/semantic" in log) == bool(recipe.semantics.thresholds)
    assert ("loss/gan" in log) == (recipe.appearance.gan != "none")
    assert ("loss/perceptual" in log) == (recipe.appearance.perceptual != "none")
