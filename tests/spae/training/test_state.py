"""The averaged weights: warm-up, and every tensor of the state."""

from __future__ import annotations

import pytest
import torch

from spae.training.state import AveragedWeights


def test_average_matches_its_recurrence():
    model = torch.nn.BatchNorm1d(1, affine=True).train()
    del model.num_batches_tracked
    average = AveragedWeights(model, decay=0.5)
    expected = 1.0
    for step, value in enumerate((3.0, 5.0, -1.0, 2.0, 7.0, 0.0, 4.0, 9.0, 6.0, 8.0)):
        with torch.no_grad():
            model.weight.fill_(value)
            model.running_mean.fill_(2 * value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert average.state["weight"].item() == pytest.approx(expected, rel=1e-6)
    assert average.state["running_mean"].item() == pytest.approx(2 * expected - 2 * _first(), rel=1e-5)
    assert not average.state["weight"].requires_grad and model.weight.item() == 8


def _first() -> float:
    """Weight of the first value, 1 for the weight and 0 for the mean."""
    left = 1.0
    for step in range(10):
        left *= min(0.5, (1 + step) / (10 + step))
    return left


def test_loaded_average_continues():
    model = torch.nn.Linear(2, 2)
    average = AveragedWeights(model, 0.9)
    average.load({name: torch.zeros_like(value) for name, value in model.state_dict().items()})
    average.update(0)
    assert average.state["weight"].allclose(0.9 * model.weight)
