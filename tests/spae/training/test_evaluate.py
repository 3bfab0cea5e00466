"""Scores of a model that can be worked out: one latent a patch, its mean colour."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spae.pyramid import Pyramid
from spae.quantizers import MovingAverage, StreamingAverageQuantizer, VectorQuantizer
from spae.tokenizers.model import TokenizerModel
from spae.training import evaluate, word_scores
from spae.training.evaluate import Evaluator, layer_words, reconstruction_error, word_accuracy, word_similarity
from spae.training.word_scores import LabelScores

COLOURS = torch.tensor([[0.5, -0.5, 0.25], [-1.0, 1.0, 0.0], [0.75, 0.75, -0.75]])


class Patches(nn.Module):
    """Latents are the mean colours of 4x4 patches; decoding paints them back."""

    def encode(self, images):
        return F.avg_pool2d(images, 4).flatten(2).transpose(1, 2)

    def decode(self, latents, grid):
        return latents.transpose(1, 2).reshape(len(latents), 3, *grid).repeat_interleave(4, 2).repeat_interleave(4, 3)


def painted(ids: np.ndarray) -> torch.Tensor:
    """[P, 4, 4] colour ids -> [P, 3, 16, 16]."""
    return COLOURS[torch.from_numpy(ids)].permute(0, 3, 1, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)


IDS = np.random.default_rng(0).integers(0, 3, (5, 4, 4))
MODEL = TokenizerModel(Patches(), StreamingAverageQuantizer(COLOURS, Pyramid.preset("picto")))


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_errors_by_layer(batch):
    images = painted(IDS)
    found = reconstruction_error(MODEL, images, batch)
    colours = COLOURS.numpy().astype(float)[IDS]
    squares = (colours**2).mean(-1)
    first = squares.sum((1, 2)) - squares[:, 2, 2]
    corners = first - squares[:, [1, 1, 3, 3], [1, 3, 1, 3]].sum(1)
    mean_image = colours.mean(0)
    assert found == pytest.approx(
        {
            "mse/layers_1-1": first.mean() / 16,
            "mse/layers_1-2": corners.mean() / 16,
            "mse/layers_1-3": 0.0,
            "mse/layers_1-4": 0.0,
            "mse/mean_image": ((colours - mean_image) ** 2).mean(),
        },
        abs=1e-6,
    )


def test_reconstructions_are_clipped():
    """A latent far outside still costs no more than the nearest colour there is."""
    bright = StreamingAverageQuantizer(torch.tensor([[5.0, 5.0, 5.0]]), Pyramid.preset("picto"))
    model = TokenizerModel(Patches(), bright)
    assert reconstruction_error(model, torch.ones(2, 3, 16, 16))["mse/layers_1-4"] == 0.0


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_word_similarity_by_layer(batch):
    scores = torch.tensor([[0.2, 0.95, 0.9], [1.0, 0.0, 0.5]])
    labels = np.array([0, 1, 1, 0, 1])
    found = word_similarity(layer_words(MODEL, painted(IDS), batch), torch.from_numpy(labels), scores)
    table = scores.numpy()
    places = {1: [(2, 2)], 2: [(1, 1), (1, 3), (3, 1), (3, 3)], 3: [(r, c) for r in range(4) for c in range(4)]}
    for layer in (1, 2, 3, 4):
        values = np.array([table[labels[p], IDS[p, r, c]] for p in range(5) for r, c in places[min(layer, 3)]])
        assert found[f"word_similarity/layer_{layer}"] == pytest.approx(values.mean(), abs=1e-6)
        assert found[f"similar_word_rate/layer_{layer}"] == pytest.approx((values >= 0.9).mean(), abs=1e-6)
    assert len(found) == 8


def test_label_scores_are_of_every_concepts_name(few_pictograms, monkeypatch):
    features = {"lion": [1.0, 0.0], "cat": [0.0, 1.0], "vase": [0.6, 0.8], "sun": [-1.0, 0.0]}

    def text_features(texts):
        return torch.tensor([features.get(text, [1.0, 0.0]) for text in texts])

    monkeypatch.setattr(word_scores, "text_features", text_features)
    found = evaluate.label_scores(few_pictograms, ["cat", "sun", "lion"])
    assert found.shape == (5, 3)
    # Products with cat, sun and lion: (0, -1, 1) for lion, (1, 0, 0) for cat, (0.8, -0.6, 0.6) for vase.
    torch.testing.assert_close(found[:3], torch.tensor([[0.5, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.2 / 1.4]]))


def test_learned_codebook_has_no_word_similarity():
    model = TokenizerModel(Patches(), VectorQuantizer(torch.randn(5, 3), Pyramid([4]), learning=MovingAverage())).eval()
    parts = {"held_out": (painted(IDS), torch.zeros(5, dtype=torch.long))}
    found = Evaluator(parts, LabelScores(torch.zeros(1, 5), ()))(model)
    assert set(found) == {"held_out/mse/layers_1-1", "held_out/mse/mean_image"}


def test_word_is_accurate_if_its_nearest_class_is_the_images():
    # Colours 0, 1 and 2 are nearest to classes 1, 0 and 1.
    scores = torch.tensor([[0.2, 0.95, 0.5], [1.0, 0.0, 0.6]])
    labels = torch.tensor([0, 1, 1, 0, 1])
    found = word_accuracy(layer_words(MODEL, painted(IDS)), labels, scores)
    right = np.array([1, 0, 1])[IDS] == labels.numpy()[:, None, None]
    assert found == pytest.approx(
        {
            "word_accuracy/layer_1": right[:, 2, 2].mean(),
            "word_accuracy/layer_2": right[:, [1, 1, 3, 3], [1, 3, 1, 3]].mean(),
            "word_accuracy/layer_3": right.mean(),
            "word_accuracy/layer_4": right.mean(),
        }
    )


def test_perceptual_distance_is_of_reconstructions_from_all_layers():
    images = painted(IDS)
    distance = lambda real, fake: (real - fake).abs().mean() + 1  # noqa: E731 (1 where they are the same)
    assert reconstruction_error(MODEL, images, 2, distance)["perceptual/layers_1-4"] == pytest.approx(1.0)
    assert reconstruction_error(MODEL, images * 0.9, 2, distance)["perceptual/layers_1-4"] > 1.0


def test_evaluator_covers_every_part():
    scores, labels = torch.tensor([[0.2, 0.95, 0.5], [1.0, 0.0, 0.6]]), torch.tensor([0, 1, 1, 0, 1])
    evaluate_parts = Evaluator(
        {"a": (painted(IDS), labels), "b": (painted(IDS[:2]), labels[:2])}, LabelScores(scores, ())
    )
    found = evaluate_parts(MODEL)
    ids = layer_words(MODEL, painted(IDS))
    alone = reconstruction_error(MODEL, painted(IDS)) | word_similarity(ids, labels, scores)
    assert {name: found[f"a/{name}"] for name in alone} == alone and "b/word_accuracy/layer_1" in found
    plain = Evaluator({"a": (painted(IDS), labels)})(MODEL)
    assert set(plain) == {f"a/{name}" for name in reconstruction_error(MODEL, painted(IDS))}
