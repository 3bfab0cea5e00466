"""One layer: nearest entry, moving averages and restarts of a learned codebook, comparing by angle."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spae.errors import ShapeError
from spae.pyramid import Pyramid
from spae.quantizers import MovingAverage, VectorQuantizer, random_codebook

GRID = Pyramid(((2, 2),))


def quantizer(entries: list[list[float]], usage: float = 1.0, **settings: float) -> VectorQuantizer:
    """A codebook in the middle of its training."""
    codebook = torch.tensor(entries)
    return VectorQuantizer(codebook, GRID, learning=MovingAverage(initial_usage=usage, **settings))


def random_start(entries: int, width: int, pyramid: Pyramid = GRID) -> VectorQuantizer:
    """As a VQGAN begins."""
    return VectorQuantizer(random_codebook(entries, width), pyramid, learning=MovingAverage(initial_usage=0))


def test_the_nearest_entry_and_its_gradient():
    torch.manual_seed(0)
    built = random_start(140, 3).eval()
    z = torch.randn(5, 4, 3, requires_grad=True)
    quantized = built(z)
    nearest = torch.cdist(z.detach().double(), built.codebook.double()).argmin(-1)
    assert quantized.ids[0].equal(nearest) and len(quantized.ids) == 1
    torch.testing.assert_close(quantized.embeddings[0].detach(), built.codebook[nearest])
    weight = torch.randn(5, 4, 3)
    (quantized.embeddings[0] * weight).sum().backward()
    assert z.grad is not None and z.grad.equal(weight)
    assert quantized.visited.all() and quantized.visited.shape == (1, 4)
    assert quantized.margins[0].shape == (5, 4) and (quantized.margins[0] >= 0).all()


def test_evaluation_does_not_change_the_codebook():
    built = random_start(6, 2).eval()
    before = {name: value.clone() for name, value in built.state_dict().items()}
    built(torch.randn(3, 4, 2))
    assert set(before) == {"codebook", "usage", "sums"}
    assert all(value.equal(before[name]) for name, value in built.state_dict().items())


def test_one_step_of_the_averages_by_hand():
    built = quantizer([[0.0, 0.0], [10.0, 0.0]], usage=4.0, decay=0.5)
    # Three vectors near the first entry, one near the second.
    z = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [2.0, 1.0], [12.0, 4.0]]])
    quantized = built(z)
    assert quantized.ids[0].tolist() == [[0, 0, 0, 1]]
    # usage: (4+3)/2, (4+1)/2; sums: (0+3)/2,(0+3)/2 and (40+12)/2,(0+4)/2.
    torch.testing.assert_close(built.usage, torch.tensor([3.5, 2.5]))
    torch.testing.assert_close(built.sums, torch.tensor([[1.5, 1.5], [26.0, 2.0]]))
    torch.testing.assert_close(built.codebook, torch.tensor([[1.5 / 3.5, 1.5 / 3.5], [10.4, 0.8]]))
    # What this batch was decoded from is the codebook before the step.
    torch.testing.assert_close(quantized.embeddings[0][0, 3], torch.tensor([10.0, 0.0]))


def test_entries_settle_on_the_means_of_their_clusters():
    torch.manual_seed(1)
    built = quantizer([[1.0, 1.0], [-1.0, -1.0]], decay=0.8)
    noise = torch.randn(8, 4, 2) * 0.1
    z = torch.tensor([[4.0, 0.0], [4.0, 0.0], [-3.0, 2.0], [-3.0, 2.0]]) + noise
    for _ in range(60):
        built(z)
    torch.testing.assert_close(
        built.codebook, torch.stack([z[:, :2].mean((0, 1)), z[:, 2:].mean((0, 1))]), atol=1e-4, rtol=0
    )


def test_dead_entries_restart_at_vectors_of_the_batch():
    torch.manual_seed(2)
    built = quantizer([[0.0, 0.0], [1e3, 1e3], [-1e3, 0.0]], usage=0.1001, decay=0.9)
    z = torch.randn(2, 4, 2)
    built(z)
    rows = z.flatten(0, 1)
    for entry in (1, 2):
        assert (built.codebook[entry] == rows).all(1).any() and built.usage[entry] == 1
    assert not (built.codebook[0] == rows).all(1).any(), "entry 0 is in use"


def test_the_first_batch_replaces_the_random_codebook():
    """Each entry is one of the batch's vectors, or the mean of those that chose it."""
    torch.manual_seed(3)
    built = random_start(6, 2)
    z = torch.randn(40, 4, 2) + 5
    ids = built(z).ids[0].flatten()
    rows = z.flatten(0, 1)
    assert torch.bincount(ids).max() >= 100, "some entry is chosen often enough to stay"
    for entry in range(6):
        restarted = torch.isclose(built.codebook[entry], rows).all(1).any()
        followed = (ids == entry).any() and torch.allclose(built.codebook[entry], rows[ids == entry].mean(0), atol=1e-4)
        assert restarted or followed, f"entry {entry}"


def test_the_codebook_is_saved_and_takes_no_gradient():
    built = random_start(6, 2)
    assert "codebook" in built.state_dict() and not list(built.parameters())


def test_ids_alone_give_the_embeddings():
    built = random_start(6, 2).eval()
    quantized = built(torch.randn(3, 4, 2))
    torch.testing.assert_close(built.decode_ids(quantized.ids), quantized.embeddings[0])
    torch.testing.assert_close(built.decode_ids(quantized.ids, [1]), quantized.embeddings[0])
    assert not built.decode_ids(quantized.ids, []).any()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="one layer, got a pyramid of 4"):
        random_start(6, 2, Pyramid.preset("mnist"))
    for shape in ((1, 5, 2), (1, 4, 3)):
        with pytest.raises(ShapeError, match=r"\[B, 4, 2\]"):
            random_start(6, 2)(torch.zeros(shape))


def test_normalized_search_goes_by_angle_and_words_keep_their_length():
    random = np.random.default_rng(0)
    codebook = random.normal(size=(50, 3)) * random.uniform(0.1, 10, (50, 1))
    z = random.normal(size=(2, 4, 3))
    built = VectorQuantizer(torch.from_numpy(codebook).float(), GRID, l2_normalize=True)
    cosine = z @ codebook.T / np.linalg.norm(z, axis=-1, keepdims=True) / np.linalg.norm(codebook, axis=1)
    quantized = built(torch.from_numpy(z).float())
    np.testing.assert_array_equal(quantized.ids[0].numpy(), cosine.argmax(-1))
    np.testing.assert_allclose(quantized.embeddings[0].numpy(), codebook[cosine.argmax(-1)], rtol=0, atol=1e-5)
    torch.testing.assert_close(built.decode_ids(quantized.ids), quantized.embeddings[0])
    plain = VectorQuantizer(torch.from_numpy(codebook).float(), GRID)(torch.from_numpy(z).float())
    assert not plain.ids[0].equal(quantized.ids[0]), "lengths decide too, where they are compared"
