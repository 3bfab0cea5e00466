"""The search against a plain argmin over all distances."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch

from spae.errors import ShapeError
from spae.quantizers.search import WordTable


def distances(rows: torch.Tensor, codebook: torch.Tensor) -> np.ndarray:
    """[R, V] squared distances, in float64."""
    difference = rows.double().numpy()[:, None] - codebook.double().numpy()[None]
    return (difference**2).sum(-1)


@pytest.mark.parametrize("words", [1, 2, 127, 128, 129, 256, 300])
@pytest.mark.parametrize("max_bytes", [1, 5000, 64 << 20])
def test_nearest_is_the_argmin(words, max_bytes):
    torch.manual_seed(words)
    codebook, rows = torch.randn(words, 5), torch.randn(23, 5)
    found, margins = WordTable(codebook, max_bytes=max_bytes).nearest(rows)
    assert found.dtype == torch.int64 and margins.shape == (23,)
    np.testing.assert_array_equal(found.numpy(), distances(rows, codebook).argmin(1))


def test_the_lowest_index_wins_a_tie():
    """Small whole numbers are exact in float32, so that the ties are ties."""
    random = np.random.default_rng(0)
    codebook = torch.from_numpy(random.integers(-2, 3, (300, 2)).astype(np.float32))
    rows = torch.from_numpy(random.integers(-2, 3, (50, 2)).astype(np.float32))
    found, margins = WordTable(codebook).nearest(rows)
    np.testing.assert_array_equal(found.numpy(), distances(rows, codebook).argmin(1))
    assert (margins == 0).all(), "25 places for 300 words: every winner has an equal"


def test_a_tie_across_blocks_goes_to_the_first_block():
    codebook = torch.full((400, 3), 9.0)
    codebook[[140, 20, 399]] = 1.0
    found, _ = WordTable(codebook).nearest(torch.ones(2, 3))
    assert found.tolist() == [20, 20]


@pytest.mark.parametrize("words", [2, 129, 300])
def test_margins_are_half_the_gap_to_the_second_distance(words):
    torch.manual_seed(1)
    codebook, rows = torch.randn(words, 6), torch.randn(40, 6, dtype=torch.float64)
    _, margins = WordTable(codebook.double(), torch.float64).nearest(rows)
    ordered = np.sort(distances(rows, codebook), axis=1)
    np.testing.assert_allclose(margins.numpy(), (ordered[:, 1] - ordered[:, 0]) / 2, rtol=0, atol=1e-12)
    assert margins.dtype == torch.float64


def test_a_runner_up_in_the_winners_own_block_is_seen():
    codebook = torch.full((300, 1), 100.0)
    codebook[3], codebook[4], codebook[200] = 0.0, 1.0, 5.0
    _, margins = WordTable(codebook).nearest(torch.zeros(1, 1))
    assert margins.tolist() == [0.5]


def test_padding_never_wins():
    codebook = torch.full((3, 2), 1000.0)
    found, margins = WordTable(codebook).nearest(torch.zeros(4, 2))
    assert found.tolist() == [0, 0, 0, 0] and margins.tolist() == [0.0] * 4
    assert WordTable(codebook[:1]).nearest(torch.zeros(1, 2))[1].item() == float("inf")


def test_no_rows_give_no_words():
    found, margins = WordTable(torch.randn(7, 2)).nearest(torch.empty(0, 2))
    assert found.shape == margins.shape == (0,) and found.dtype == torch.int64


def test_scores_differ_from_logits_by_a_constant_and_carry_gradient():
    torch.manual_seed(2)
    codebook, rows = torch.randn(130, 4), torch.randn(3, 4, requires_grad=True)
    scores = WordTable(codebook).scores(rows)
    assert scores.shape == (3, 256) and torch.isneginf(scores[:, 130:]).all()
    logits = -torch.from_numpy(distances(rows.detach(), codebook)).float()
    torch.testing.assert_close(torch.softmax(2 * scores, 1)[:, :130], torch.softmax(logits, 1))
    scores[:, :130].sum().backward()
    torch.testing.assert_close(rows.grad, codebook.sum(0).expand(3, 4))


def test_the_table_is_neither_saved_nor_trained():
    table = WordTable(torch.randn(5, 2))
    assert not table.state_dict() and not list(table.parameters())


@pytest.mark.parametrize("shape", [(3, 5), (4,), (2, 3, 4)])
def test_rows_of_another_width_are_refused(shape):
    with pytest.raises(ShapeError, match=r"\[R, 4\]"):
        WordTable(torch.randn(9, 4)).nearest(torch.randn(shape))


def test_autocast_does_not_round_an_exact_search():
    torch.manual_seed(2)
    codebook, rows = torch.randn(300, 16), torch.randn(50, 16)
    table = WordTable(codebook)
    expected = table.nearest(rows)
    with torch.autocast("cpu", torch.bfloat16):
        assert (rows @ codebook.T).dtype == torch.bfloat16
        found = table.nearest(rows)
        assert table.scores(rows).dtype == torch.float32
    assert all(a.equal(b) for a, b in zip(found, expected, strict=True))


def test_one_chunk_of_scores_is_held_at_a_time(monkeypatch):
    table = WordTable(torch.randn(300, 4), max_bytes=10 * 384 * 4)
    scores, held = table.scores, []

    def watched(rows):
        assert len(rows) <= 10 and all(one() is None for one in held), "the chunk before is let go"
        made = scores(rows)
        held.append(weakref.ref(made))
        return made

    monkeypatch.setattr(table, "scores", watched)
    found, margins = table.nearest(torch.randn(45, 4))
    assert len(held) == 5 and len(found) == len(margins) == 45
