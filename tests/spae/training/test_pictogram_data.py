"""Batches of pictograms: each row once an epoch, none that is held out, no hidden state."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from spae.data.embedded.pictograms import HELD_OUT_STYLE, load_pictograms
from spae.tokenizers.model import to_tensor
from spae.training import pictogram_data as module
from spae.training.pictogram_data import PictogramBatches, held_out_images, shrink

TRAIN_ROWS = [0, 2, 3, 5, 6, 8, 9, 11]


@pytest.fixture
def rows_seen(monkeypatch, few_pictograms):
    """Gives the rows of each step: images carry their row number instead of a pictogram."""
    numbers = np.arange(15, dtype=np.uint8)[:, None, None, None]
    numbered = replace(few_pictograms, pixels=np.repeat(np.repeat(np.repeat(numbers, 64, 1), 64, 2), 3, 3))
    monkeypatch.setattr(module, "augment", lambda images, size, generator, strength: images)

    def rows(step: int, batch: int, seed: int = 0, last: np.ndarray | None = None) -> list[int]:
        batches = PictogramBatches(numbered, batch, 32, seed, 1.0, last)
        images, labels = batches.at(step, torch.Generator())
        found = ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
        assert labels.tolist() == [row // 3 for row in found], "labels go with their images"
        return found

    return rows


@pytest.mark.parametrize("batch", [1, 3, 4, 8])
def test_every_training_row_comes_once_an_epoch(rows_seen, batch):
    stream = [row for step in range(48 // batch) for row in rows_seen(step, batch)]
    assert len(stream) == 48
    epochs = [stream[i : i + 8] for i in range(0, 48, 8)]
    assert all(sorted(epoch) == TRAIN_ROWS for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1, "shuffled anew"


def test_batches_depend_on_seed_and_step_alone(rows_seen):
    forwards = [rows_seen(step, 3) for step in range(6)]
    assert [rows_seen(step, 3) for step in reversed(range(6))] == forwards[::-1]
    assert [rows_seen(step, 3, seed=1) for step in range(6)] != forwards


def test_last_images_move_within_their_batch_alone(rows_seen):
    last = np.isin(np.arange(15), [2, 5, 9])
    for step in range(6):
        plain = rows_seen(step, 4)
        assert rows_seen(step, 4, last=last) == [r for r in plain if not last[r]] + [r for r in plain if last[r]]
    assert any(last[rows_seen(step, 4)[:-1]].any() for step in range(6)), "else nothing moved"


def test_images_repeat_with_their_generator(few_pictograms):
    batches = PictogramBatches(few_pictograms, 4, 32, 0, 1.0)
    some = [batches.at(2, torch.Generator().manual_seed(seed))[0] for seed in (5, 5, 6)]
    assert some[0].shape == (4, 3, 32, 32) and some[0].equal(some[1]) and not some[0].equal(some[2])


def test_held_out_images_are_never_trained_on():
    """On the real set: no row of the held-out style, none of a held-out concept."""
    pictograms = load_pictograms()
    batches = PictogramBatches(pictograms, 64, 32, 0, 1.0)
    seen = Counter(batches._order(3, pictograms.train_rows()).tolist())
    assert max(seen.values()) == 1
    styles = {pictograms.styles[pictograms.style[row]] for row in seen}
    assert HELD_OUT_STYLE not in styles and len(styles) == len(pictograms.styles) - 1
    trained = {int(pictograms.concept[row]) for row in seen}
    assert {i for i, concept in enumerate(pictograms.concepts) if not concept.held_out} == trained


def test_held_out_images_are_of_the_held_out_style(few_pictograms):
    for new, concepts in ((False, [0, 1, 2, 3]), (True, [4])):
        images, labels = held_out_images(few_pictograms, 32, new)
        assert labels.tolist() == concepts and images.shape == (len(concepts), 3, 32, 32)
        expected = shrink(to_tensor(few_pictograms.pixels[[3 * concept + 1 for concept in concepts]]), 32)
        assert images.equal(expected)


def test_pixels_become_minus_one_to_one():
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    pixels[0, 0, 1] = (255, 0, 51)
    out = to_tensor(pixels)
    assert out.shape == (1, 3, 2, 2) and out.dtype == torch.float32
    torch.testing.assert_close(out[0, :, 0, 1], torch.tensor([1.0, -1.0, -0.6]))


def test_shrinking_averages():
    flat = shrink(torch.full((1, 3, 64, 64), 0.25), 32)
    assert flat.shape == (1, 3, 32, 32)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.25))
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert shrink(noise, 32).mean().item() == pytest.approx(noise.mean().item(), abs=0.01)
    assert shrink(noise, 32).std() < 0.65 * noise.std(), "no pixel is one of the old ones"
