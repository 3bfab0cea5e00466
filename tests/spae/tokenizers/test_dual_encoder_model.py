"""A model with two branches: which branch runs for which layers."""

from __future__ import annotations

import pytest
import torch

from spae.errors import ShapeError
from spae.tokenizers.build import load_model
from spae.tokenizers.dual_encoder_model import DualEncoderModel


@pytest.fixture
def model(tmp_path, tiny, save_model) -> DualEncoderModel:
    save_model(tmp_path, quantizer="saq", latent_scale=2.0, projected_layers=2, projected_dim=3, projected_scale=0.75)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, DualEncoderModel)
    return loaded


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_first_layers_are_those_of_all_layers(model, depth):
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        whole, part = model.encode(images), model.encode(images, depth)
    assert len(part.ids) == len(part.embeddings) == depth
    for layer in range(depth):
        assert part.ids[layer].equal(whole.ids[layer])
        torch.testing.assert_close(part.margins[layer], whole.margins[layer])
        torch.testing.assert_close(part.embeddings[layer], whole.embeddings[layer])


def test_the_reconstruction_branch_runs_only_for_projected_layers(model, monkeypatch):
    def called(pixels):
        raise RuntimeError("called")

    monkeypatch.setattr(model.autoencoder.encoder.reconstruction, "forward", called)
    images = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        for depth in (1, 2):
            model.encode(images, depth)
        for depth in (3, 4, None):
            with pytest.raises(RuntimeError, match="called"):
                model.encode(images, depth)


def test_shapes_are_refused_as_by_every_model(model):
    for depth in (1, None):
        with pytest.raises(ShapeError, match=r"pixels must be \[B, 3, H, W\]"):
            model.encode(torch.zeros(1, 3, 33, 32), depth)
