"""Sampling of a step: which generator continues, and which images are held out."""

from __future__ import annotations

import pytest
import torch

from spae.training.data_source import held_out_parts, open_data, sample_step
from spae.training.pictogram_data import PictogramBatches, PictogramData
from spae.training.step_random import step_seed


def test_pictograms_sample_first_from_the_generator_that_is_returned(few_pictograms):
    data = PictogramData(batch=4, size=32, frames=0, seed=2, strength=1.0, pictograms=few_pictograms)
    batch, generator = sample_step(data, 2, 5, slice(1, 3))
    expected = torch.Generator().manual_seed(2 * 1_000_003 + 5)
    images, labels = PictogramBatches(few_pictograms, 4, 32, 2, 1.0).at(5, expected)
    assert batch.images.equal(images[1:3]) and batch.labels.equal(labels[1:3])
    assert torch.rand(3, generator=generator).equal(torch.rand(3, generator=expected))
    whole, few = held_out_parts(data, 99), held_out_parts(data, 2)
    assert set(whole) == set(few) == {"held_out_style", "held_out_concept"}
    assert [len(part[0]) for part in whole.values()] == [4, 1] and len(few["held_out_style"][1]) == 2
    assert few["held_out_style"][1].equal(whole["held_out_style"][1][[0, 3]])


def test_other_data_do_not_use_the_generator(recipe_of, tmp_path):
    data = open_data(recipe_of(source="mnist", seed=3), tmp_path)
    batch, generator = sample_step(data, 3, 5, slice(0, 2))
    assert batch.images.equal(data.at(5).images[:2])
    fresh = torch.Generator().manual_seed(step_seed(3, 5))
    assert torch.rand(3, generator=generator).equal(torch.rand(3, generator=fresh))
    parts = held_out_parts(data, 7)
    assert list(parts) == ["held_out"] and parts["held_out"][0].shape == (7, 3, 32, 32)


@pytest.mark.parametrize("frames", [4])
def test_videos_are_held_out_like_other_data(few_pictograms, frames):
    data = PictogramData(batch=4, size=32, frames=frames, seed=2, strength=1.0, pictograms=few_pictograms)
    assert held_out_parts(data, 3)["held_out"][0].shape == (3, 3, 4, 32, 32)
