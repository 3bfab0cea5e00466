"""Codebooks that learn: a step of the averages by hand, and the gradient against the derivative written out."""

from __future__ import annotations

import pytest
import torch

from spae.pyramid import Pyramid
from spae.quantizers import Gradient, MovingAverage, ResidualQuantizer, VectorQuantizer

ONE = Pyramid([1, 1])
"""One position, visited by two layers."""


def test_one_step_of_the_averages_over_two_layers_by_hand():
    codebook = torch.tensor([[4.0], [1.0]])
    quantizer = ResidualQuantizer(codebook, ONE, learning=MovingAverage(decay=0.5, restart_below=0.0))
    assert quantizer.usage.tolist() == [1, 1] and quantizer.sums.equal(codebook), "it begins where it was told to"
    quantized = quantizer(torch.tensor([[[5.0]], [[6.0]]]))
    # 5 -> 4, leaves 1 -> 1. 6 -> 4, leaves 2 -> 1.
    assert [ids.flatten().tolist() for ids in quantized.ids] == [[0, 0], [1, 1]]
    # usage (1 + 2) / 2 for both; sums (4 + 5 + 6) / 2 and (1 + 1 + 2) / 2.
    assert quantizer.usage.tolist() == [1.5, 1.5]
    assert quantizer.sums.flatten().tolist() == [7.5, 2.0]
    assert quantizer.codebook.flatten().tolist() == [5.0, pytest.approx(2 / 1.5)]
    assert quantized.embeddings[1].flatten().tolist() == [5, 5], "decoded from the codebook before the step"


def test_averages_do_not_change_in_evaluation():
    quantizer = ResidualQuantizer(torch.randn(6, 2), ONE, learning=MovingAverage()).eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(torch.randn(3, 1, 2))
    assert set(before) == {"codebook", "usage", "sums"} and not list(quantizer.parameters())
    assert all(value.equal(before[name]) for name, value in quantizer.state_dict().items())


def test_averages_reach_a_fixed_point_at_the_data():
    """Four vectors, four entries near them: each entry ends on its vector, and nothing is left for layer 2."""
    torch.manual_seed(0)
    data = torch.tensor([[9.0, 0.0], [0.0, 9.0], [-9.0, 0.0], [0.0, -9.0]])
    quantizer = VectorQuantizer(data + 0.5 * torch.randn(4, 2), Pyramid([1]), learning=MovingAverage(decay=0.8))
    for _ in range(60):
        quantizer(data[:, None])
    torch.testing.assert_close(quantizer.codebook, data, atol=1e-4, rtol=0)


def test_the_codebook_loss_by_hand():
    quantizer = ResidualQuantizer(torch.tensor([[4.0], [1.0], [50.0]]), ONE, learning=Gradient())
    z = torch.tensor([[[5.0]], [[7.0]]], requires_grad=True)
    quantized = quantizer(z)
    # Layer 1: 5 and 7 meet 4. Layer 2: 1 and 3 meet 1 and 4.
    assert [ids.flatten().tolist() for ids in quantized.ids] == [[0, 0], [1, 0]]
    loss = quantizer.codebook_loss(quantized)
    assert loss.item() == pytest.approx((1 + 9) / 2 + (0 + 1) / 2)
    loss.backward()
    # d/d e of (e - x)^2 / 2, summed over what met e: (4 - 5) + (4 - 7) + (4 - 3) and 1 - 1.
    assert quantizer.codebook.grad is not None
    assert quantizer.codebook.grad.flatten().tolist() == pytest.approx([-3, 0, 0])
    assert z.grad is None, "the encoder is moved by the commitment, not by this"


def test_gradient_steps_shrink_the_error():
    torch.manual_seed(1)
    quantizer = VectorQuantizer(torch.randn(8, 3), Pyramid([2]), learning=Gradient())
    assert list(quantizer.state_dict()) == ["codebook"] and len(list(quantizer.parameters())) == 1
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=1.0)
    z = torch.randn(16, 4, 3)
    losses = []
    for _ in range(40):
        loss = quantizer.codebook_loss(quantizer(z))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_learned_codebook_leaves_the_gradient_of_z_straight():
    torch.manual_seed(2)
    for learning in (MovingAverage(), Gradient()):
        quantizer = ResidualQuantizer(torch.randn(8, 3), Pyramid([1, 2, 2]), learning=learning)
        z = torch.randn(2, 4, 3, requires_grad=True)
        weight = torch.randn(2, 4, 3)
        (quantizer(z).embeddings[-1] * weight).sum().backward()
        assert z.grad is not None and z.grad.equal(weight)


def test_a_learned_codebook_is_saved_and_loaded():
    torch.manual_seed(4)
    for learning in (MovingAverage(), Gradient()):
        first, second = (
            ResidualQuantizer(torch.randn(8, 3), Pyramid([1, 2]), learning=learning).eval() for _ in range(2)
        )
        z = torch.randn(3, 4, 3)
        assert not first(z).embeddings.equal(second(z).embeddings)
        second.load_state_dict(first.state_dict())
        assert first(z).embeddings.equal(second(z).embeddings)
