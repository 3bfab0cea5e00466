"""Commitment and decoder input, on numbers small enough to work out."""

from __future__ import annotations

import pytest
import torch

from spae.losses.appearance import commitment, decoder_input
from spae.quantizers import Quantized

WHOLE = slice(None)


def two_layers(z: torch.Tensor) -> Quantized:
    """Four positions, width 1: layer 1 has a token at position 2 alone."""
    first = torch.tensor([[[0.0], [0.0], [5.0], [0.0]]])
    last = z + (torch.tensor([[[1.0], [2.0], [3.0], [4.0]]]) - z).detach()
    visited = torch.tensor([[False, False, True, False], [True] * 4])
    ids = (torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 4, dtype=torch.long))
    margins = (torch.zeros(1, 1), torch.zeros(1, 4))
    return Quantized(ids, torch.stack([first, last]), (z[:, 2:3], z), visited, margins, (WHOLE, WHOLE))


def test_commitment_is_a_mean_over_visited_positions_summed_over_layers():
    z = torch.tensor([[[0.0], [4.0], [6.0], [4.0]]], requires_grad=True)
    loss = commitment(z, two_layers(z))
    # Layer 1: (6 - 5)^2 alone. Layer 2: (0-1)^2, (4-2)^2, (6-3)^2, (4-4)^2 over 4.
    assert loss.item() == pytest.approx(1 + (1 + 4 + 9 + 0) / 4)
    loss.backward()
    # 2 (z - value) / n of each layer; the value takes no part.
    assert z.grad is not None
    assert z.grad.flatten().tolist() == pytest.approx([-0.5, 1.0, 2.0 + 1.5, 0.0])


def test_commitment_means_over_batch_and_width():
    z = torch.zeros(2, 4, 3)
    value = torch.zeros(1, 2, 4, 3)
    value[0, 1, 2, 0], value[0, 0, 3, 1] = 6.0, 100.0
    visited = torch.tensor([[True, False, True, False]])
    assert commitment(z, Quantized((), value, (), visited, (), (WHOLE,))).item() == pytest.approx(36 / (2 * 2 * 3))


def test_commitment_leaves_out_channels_that_a_layer_does_not_compare():
    z = torch.zeros(1, 2, 3, requires_grad=True)
    value = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]] * 2)
    visited = torch.tensor([[True, False], [True, True]])
    loss = commitment(z, Quantized((), value, (), visited, (), (slice(2), slice(2, None))))
    # Layer 1: channels 0 and 1 of the first position. Layer 2: channel 2 of both.
    assert loss.item() == pytest.approx((1 + 4) / 2 + (9 + 36) / 2)
    loss.backward()
    assert z.grad is not None and not z.grad[0, 1, :2].any()


def test_each_image_is_decoded_from_its_own_depth():
    torch.manual_seed(0)
    z = torch.randn(3, 4, 2, requires_grad=True)
    early = torch.randn(2, 3, 4, 2)
    last = z + (torch.randn(3, 4, 2) - z).detach()
    # A gradient that prefixes must not pass on.
    embeddings = torch.cat([early + 0 * z, last[None]])
    chosen = decoder_input(Quantized((), embeddings, (), torch.ones(3, 4), (), ()), torch.tensor([3, 1, 2]))
    assert chosen[0].equal(last[0]) and chosen[1].equal(early[0, 1]) and chosen[2].equal(early[1, 2])
    chosen.sum().backward()
    assert z.grad is not None and z.grad[0].equal(torch.ones(4, 2)) and not z.grad[1:].any()


def test_prefixes_send_no_gradient_to_the_encoder():
    z = torch.ones(2, 4, 2, requires_grad=True)
    embeddings = torch.stack([z * 2, z * 3])
    decoder_input(Quantized((), embeddings, (), torch.ones(2, 4), (), ()), torch.tensor([1, 2])).sum().backward()
    assert z.grad is not None and not z.grad[0].any() and (z.grad[1] == 3).all()
