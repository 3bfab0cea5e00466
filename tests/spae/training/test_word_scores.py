"""Where the semantic loss gets its words from: label text, and CLIP from pixels."""

from __future__ import annotations

import pytest
import torch

from spae.errors import InputError
from spae.semantics.pool import similarity
from spae.training import word_scores
from spae.training.word_scores import ClipScores, LabelScores, open_scores

WORDS = torch.nn.functional.normalize(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]), dim=1)


class MeanColour:
    """A stand-in for CLIP: an image's feature is its mean colour; a clip's, of all its frames."""

    def image_features(self, images):
        return torch.nn.functional.normalize(images.mean((2, 3)), dim=1)

    def video_features(self, frames):
        assert frames.shape[2] == 3, "frames before colours"
        return torch.nn.functional.normalize(frames.mean((1, 3, 4)), dim=1)


def coloured(*colours):
    return torch.tensor(colours)[:, :, None, None].expand(-1, 3, 4, 4)


def test_clip_scores_are_of_each_image():
    images = coloured((1.0, 0.0, 0.0), (0.0, 0.6, 0.8))
    scores = ClipScores(MeanColour(), WORDS, (0.9, 0.5))
    table, rows = scores.scores(images, torch.tensor([7, 7]))
    assert table.allclose(similarity(images[:, :, 0, 0], WORDS)) and rows.tolist() == [0, 1]
    pools, rows = scores.pools(images, torch.tensor([7, 7]))
    assert len(pools) == 2 and rows.tolist() == [0, 1]
    best = [pool.candidates[rows, 0].tolist() for pool in pools]
    assert best[0] == [0, 2] and pools[1].weights[1].count_nonzero() == 3


def test_clips_are_scored_by_their_frames():
    frames = torch.stack([coloured((1.0, 0.0, 0.0))[0], coloured((0.0, 1.0, 0.0))[0]], 1)[None]
    table, _ = ClipScores(MeanColour(), WORDS, (0.9,)).scores(frames, torch.tensor([0]))
    assert table.argmax(1).tolist() == [3]


def test_label_scores_are_of_each_class():
    table = torch.tensor([[1.0, 0.0, 0.2], [0.1, 1.0, 0.95]])
    scores = LabelScores(table, (0.9,))
    pools, rows = scores.pools(torch.zeros(3, 3, 4, 4), torch.tensor([1, 0, 1]))
    assert rows.tolist() == [1, 0, 1] and pools[0].weights[1].tolist() == [0.5, 0.5]
    assert scores.scores(torch.zeros(1), torch.tensor([1]))[0] is table


def test_a_recipe_opens_its_own(recipe_of, monkeypatch):
    monkeypatch.setattr(word_scores, "text_features", lambda texts: torch.eye(3)[: len(texts)])
    assert open_scores(recipe_of(), ["a"], ["b"]) is None
    found = open_scores(recipe_of(thresholds=(0.9,)), ["a", "b"], ["c", "d", "e"])
    assert isinstance(found, LabelScores) and found.table.tolist() == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(InputError, match="these data have none: use open_clip"):
        open_scores(recipe_of(thresholds=(0.9,)), [], ["c"])
