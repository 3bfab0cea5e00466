"""RQ against a direct, slow transcription: what is left over is looked up, and words are summed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from spae.pyramid import PRESETS, Pyramid
from spae.quantizers import ResidualQuantizer


def places(size: int, count: int) -> list[int]:
    """Eq. 1 to the letter for even ratios, the whole axis for ratio 1; no preset has another."""
    ratio = size // count
    return list(range(size)) if ratio == 1 else [ratio * i - ratio // 2 for i in range(1, count + 1)]


def transcribed(z: np.ndarray, codebook: np.ndarray, layers: tuple[tuple[int, ...], ...]):
    """One image in float64. z [N, C], codebook [V, C]; ids by layer, sum of words up to each layer, residuals."""
    grid = layers[-1]
    residual, summed = z.copy(), np.zeros_like(z)
    ids, embeddings, targets = [], [], []
    for sides in layers:
        points = itertools.product(*(places(size, count) for size, count in zip(grid, sides, strict=True)))
        visited = [int(np.ravel_multi_index(point, grid)) for point in points]
        targets.append([residual[n].copy() for n in visited])
        ids.append([int(((residual[n] - codebook) ** 2).sum(1).argmin()) for n in visited])
        for n, k in zip(visited, ids[-1], strict=True):
            residual[n] -= codebook[k]
            summed[n] += codebook[k]
        embeddings.append(summed.copy())
    return ids, np.stack(embeddings), targets


@pytest.mark.parametrize(
    "layers",
    [
        *(pytest.param(layers, id=name) for name, layers in PRESETS.items()),
        pytest.param(((4, 4),) * 3, id="published: every layer whole"),
        pytest.param(((2, 1, 1), (2, 2, 4), (4, 2, 8)), id="one of my own"),
    ],
)
def test_equals_the_transcription(layers):
    pyramid = Pyramid(layers)
    generator = torch.Generator().manual_seed(6)
    codebook = torch.randn(150, 4, generator=generator)
    z = torch.randn(1 if len(pyramid.grid) == 3 else 2, pyramid.cells, 4, generator=generator) * 2
    quantized = ResidualQuantizer(codebook, pyramid)(z)
    assert len(quantized.ids) == len(quantized.targets) == len(quantized.embeddings) == len(layers)
    for b in range(len(z)):
        ids, embeddings, targets = transcribed(z[b].double().numpy(), codebook.double().numpy(), layers)
        for layer in range(len(layers)):
            assert quantized.ids[layer][b].tolist() == ids[layer], f"layer {layer + 1}"
            np.testing.assert_allclose(quantized.targets[layer][b].numpy(), targets[layer], rtol=0, atol=1e-5)
        np.testing.assert_allclose(quantized.embeddings[:, b].numpy(), embeddings, rtol=0, atol=1e-5)


def test_a_position_by_hand():
    """z = 7 with words 5, 1 and -4: 5 leaves 2, the word 1 leaves 1, the word 1 leaves nothing."""
    codebook = torch.tensor([[-4.0], [1.0], [5.0]])
    quantized = ResidualQuantizer(codebook, Pyramid([1, 1, 1]))(torch.tensor([[[7.0]]]))
    assert [ids.item() for ids in quantized.ids] == [2, 1, 1]
    assert quantized.embeddings.flatten().tolist() == [5, 6, 7]
    assert [one.item() for one in quantized.targets] == [7, 2, 1]


@pytest.mark.parametrize("layers", [(1,), (3,), (4, 1), (2, 3, 4)], ids=str)
def test_ids_of_any_layers_add_at_their_positions(layers):
    torch.manual_seed(3)
    pyramid = Pyramid.preset("mnist")
    quantizer = ResidualQuantizer(torch.randn(20, 3), pyramid)
    ids = quantizer(torch.randn(2, 16, 3)).ids
    expected = torch.zeros(2, 16, 3)
    for layer in layers:
        for place, n in enumerate(pyramid.positions(layer)):
            expected[:, n] += quantizer.codebook[ids[layer - 1][:, place]]
    torch.testing.assert_close(quantizer.decode_ids(ids, layers), expected)


def test_what_is_looked_up_keeps_the_gradient_of_z():
    torch.manual_seed(3)
    quantizer = ResidualQuantizer(torch.randn(20, 3), Pyramid([2, 2, 2]))
    z = torch.randn(2, 4, 3, requires_grad=True)
    quantizer(z).targets[2].sum().backward()
    assert z.grad is not None and (z.grad == 1).all()
