"""The twins: that each has the structure of its recipe, and that it trains."""

from __future__ import annotations

import io

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from rich.console import Console
from torch import nn

from spae.losses.perceptual import LITE, PerceptualLoss
from spae.networks.autoencoder import NETWORKS
from spae.networks.vit import VITS, VitPlan
from spae.tokenizers.build import load_model
from spae.training import pictogram_data, trainer, word_scores
from spae.training.recipes import MODULES, get_recipe
from spae.training.recipes.ready import check_ready
from spae.training.trainer import Trainer
from spae.vocabulary import VOCABULARIES

FULL = {
    name: f"tiny_{name}"
    for name in ("image", "image_8", "image_256", "imagenet21k", "disjoint", "gpt", "video", "vqgan")
}
FULL |= {name: f"tiny_{name}" for name in MODULES["ablations"]}
SAME = [
    "quantizer",
    "codebook",
    "l2_normalize",
    "target",
    "alpha",
    "dynamic_weight",
    "semantic_weight_reference",
    "beta",
    "gan",
    "gan_weight",
]
SAME += ["lecam_weight", "perceptual_weight", "masked_lm", "layer_dropout", "inflation", "frames", "schedule", "betas"]
# Recipes that differ in what the embedded data do not have.
TWICE = ["tiny_imagenet21k", "tiny_disjoint", "tiny_ablation_pyramid", "tiny_ablation_vq"]


@pytest.mark.parametrize(("full", "twin"), FULL.items())
def test_a_twin_has_the_structure_of_its_recipe(full, twin):
    big, small = get_recipe(full), get_recipe(twin)
    assert {field: getattr(big, field) for field in SAME} == {field: getattr(small, field) for field in SAME}
    assert (big.semantics == "none") == (small.semantics == "none")
    assert (big.perceptual == "none") == (small.perceptual == "none")
    assert small.thresholds == big.thresholds[: len(small.thresholds)]

    def whole(recipe):
        return sum(grid == recipe.layers.grid for grid in recipe.layers.layers)

    assert whole(big) == whole(small) and (big.layers.depth > whole(big)) == (small.layers.depth > whole(small))
    if big.thresholds:
        # On the layers up to the first one that is the whole grid.
        assert len(big.thresholds) - (big.layers.depth - whole(big)) == 1
        assert len(small.thresholds) - (small.layers.depth - whole(small)) == 1
    assert (big.size // 128) * 32 == small.size and small.batch <= 16 and small.steps <= 300


@pytest.mark.parametrize("name", MODULES["tiny"])
def test_a_twin_lacks_nothing(name):
    check_ready(get_recipe(name))


def test_twins_differ_as_their_recipes_do():
    prints = {}
    for name in FULL.values():
        prints.setdefault(get_recipe(name).model_copy(update={"name": ""}).fingerprint, []).append(name)
    same = sorted(sorted(names) for names in prints.values() if len(names) > 1)
    assert same == [
        ["tiny_ablation_pyramid", "tiny_disjoint", "tiny_image"],
        ["tiny_ablation_vq", "tiny_vqgan"],
        ["tiny_image_256", "tiny_imagenet21k"],
    ]


@pytest.fixture
def small(monkeypatch, tiny, few_pictograms):
    """Everything that takes time, small: networks, words, images, texts, and the perceptual loss."""
    for preset, (_, multipliers) in list(NETWORKS.items()):
        monkeypatch.setitem(NETWORKS, preset, (4, multipliers))
    monkeypatch.setitem(VITS, "picto-lqae", VitPlan(size=32, patch=8, features=24, layers=1, heads=2, hidden=48))
    for name in ("smollm2", "smollm2-minilm"):
        monkeypatch.setitem(VOCABULARIES, name, lambda: tiny)
    monkeypatch.setattr(pictogram_data, "load_pictograms", lambda: few_pictograms)

    def features(texts):
        generator = torch.Generator().manual_seed(len(texts))
        return nn.functional.normalize(torch.randn(len(texts), 8, generator=generator), dim=1)

    monkeypatch.setattr(word_scores, "text_features", features)

    def perceptual(name, file, side):
        assert (name, file, side) == ("efficientnet-lite0", None, 64)
        return PerceptualLoss(name, "0" * 64, nn.Sequential(nn.Conv2d(3, 2, 8, 8), nn.Flatten()), side, LITE)

    monkeypatch.setattr(trainer, "open_perceptual", perceptual)


@pytest.mark.parametrize("name", [name for name in MODULES["tiny"] if name not in TWICE])
def test_a_twin_trains(name, small, tmp_path):
    recipe = get_recipe(name)
    few = {
        "steps": 2, "batch": 2, "drawn": 2, "warmup": 0, "evaluate_images": 4, "vocabulary": recipe.vocabulary
    }  # fmt: skip
    if recipe.frames:
        # The weights that it begins with are of other widths than these; tests of `load_initial` have them.
        few |= {"initial": "", "inflation": ""}
    AcceleratorState._reset_state()
    PartialState._reset_state()
    figures = Trainer(recipe.with_settings([f"{key}={value}" for key, value in few.items()]), tmp_path,
                      Console(file=io.StringIO())).run()  # fmt: skip
    assert figures and all(torch.isfinite(torch.tensor(value)) for value in figures.values())
    assert load_model(tmp_path).quantizer.pyramid.tokens == recipe.layers.tokens
    words = (tmp_path / "log.jsonl").read_text()
    assert ("loss/semantic" in words) == bool(recipe.thresholds)
    assert ("loss/gan" in words) == (recipe.gan != "none")
    assert ("loss/perceptual" in words) == (recipe.perceptual != "none")
