"""The committed weights: small, made by their recipes, and as good as their logs say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spae.data.embedded.pictograms import load_pictograms
from spae.tokenizers.build import load_model
from spae.tokenizers.model_folder import EMBEDDED, load_config
from spae.training.evaluate import label_scores, layer_words, reconstruction_error, word_similarity
from spae.training.pictogram_data import held_out_images
from spae.training.recipe import parse_recipe
from spae.training.recipes import get_recipe
from spae.vocabulary import open_vocabulary

NAMES = ("picto_spae", "picto_spae_plain", "picto_vqgan")
THIRD = 3


def last_scores(folder: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return next(line for line in reversed(lines) if "held_out_style/mse/mean_image" in line)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_and_made_by_the_recipe_as_it_stands(name: str) -> None:
    folder = EMBEDDED / name
    assert (folder / "model.safetensors").stat().st_size < 8_000_000
    assert parse_recipe(json.loads((folder / "recipe.json").read_text()), name) == get_recipe(name)
    assert last_scores(folder)["step"] == get_recipe(name).optimizer.steps


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_weights_score_what_their_log_says(name: str) -> None:
    """Half precision and float32 search against the log's training-time figures, on every third held-out image.

    Errors within 4 %, words within 6 points: that is what the choice of the images may cost.
    """
    folder = EMBEDDED / name
    model, config, logged = load_model(folder), load_config(folder), last_scores(folder)
    pictograms = load_pictograms()
    images, labels = held_out_images(pictograms, config.image_size, new_concepts=False)
    images, labels = images[::THIRD], labels[::THIRD]
    errors = reconstruction_error(model, images)
    for key, value in errors.items():
        assert value == pytest.approx(logged[f"held_out_style/{key}"], rel=0.04), key
    by_layer = [errors[f"mse/layers_1-{layer}"] for layer in range(1, model.quantizer.pyramid.depth + 1)]
    assert by_layer == sorted(by_layer, reverse=True)
    assert by_layer[-1] <= errors["mse/mean_image"] / 2
    if get_recipe(name).semantics.thresholds:
        scores = label_scores(pictograms, open_vocabulary(config.vocabulary).words)
        for key, value in word_similarity(layer_words(model, images), labels, scores).items():
            assert value == pytest.approx(logged[f"held_out_style/{key}"], abs=0.06), key
