"""SAQ against a direct, slow transcription of Eq. 2 and 3."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from spae.pyramid import PRESETS, Pyramid
from spae.quantizers import StreamingAverageQuantizer
from spae.quantizers.protocol import straight_through

# The specification's positions, written out, so that the pyramid is not asked about itself.
AXIS = {
    (16, 1): [8], (16, 2): [4, 12], (16, 4): [2, 6, 10, 14], (16, 8): list(range(1, 16, 2)), (16, 16): list(range(16)),
    (4, 1): [2], (4, 2): [1, 3], (4, 4): [0, 1, 2, 3],
}  # fmt: skip


def by_the_equations(z: np.ndarray, codebook: np.ndarray, layers: tuple[tuple[int, ...], ...]):
    """One image. z [N, C] and codebook [V, C] in float64; ids by layer, Z_hat up to each layer, z_l by layer."""
    grid = layers[-1]
    tokens: dict[int, list[int]] = {n: [] for n in range(len(z))}
    ids, embeddings, targets = [], [], []
    for sides in layers:
        ids_l, targets_l = [], []
        for point in itertools.product(*(AXIS[pair] for pair in zip(grid, sides, strict=True))):
            n = int(np.ravel_multi_index(point, grid))
            z_l = z[n].copy()
            for earlier in tokens[n]:
                z_l += z[n] - codebook[earlier]  # Eq. 2
            k = int(((codebook - z_l) ** 2).sum(1).argmin())
            tokens[n].append(k)
            ids_l.append(k)
            targets_l.append(z_l)
        hat = np.zeros_like(z)
        for n, words in tokens.items():
            for k in words:
                hat[n] += codebook[k] / len(words)  # Eq. 3
        ids.append(ids_l)
        embeddings.append(hat)
        targets.append(targets_l)
    return ids, np.stack(embeddings), targets


def data(preset: str, batch: int, words: int = 150, width: int = 4):
    generator = torch.Generator().manual_seed(4)
    pyramid = Pyramid.preset(preset)
    codebook = torch.randn(words, width, generator=generator)
    return pyramid, codebook, torch.randn(batch, pyramid.cells, width, generator=generator)


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_equals_the_equations(preset, dtype):
    pyramid, codebook, z = data(preset, batch=1 if preset == "video" else 2)
    quantized = StreamingAverageQuantizer(codebook.to(dtype), pyramid, dtype)(z.to(dtype))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert len(quantized.ids) == len(quantized.targets) == len(quantized.embeddings) == len(PRESETS[preset])
    for b in range(len(z)):
        ids, embeddings, targets = by_the_equations(z[b].double().numpy(), codebook.double().numpy(), PRESETS[preset])
        for layer in range(pyramid.depth):
            assert quantized.ids[layer][b].tolist() == ids[layer], f"layer {layer + 1}"
            np.testing.assert_allclose(quantized.targets[layer][b].numpy(), targets[layer], rtol=0, atol=tolerance)
        np.testing.assert_allclose(quantized.embeddings[:, b].numpy(), embeddings, rtol=0, atol=tolerance)


def test_positions_without_a_token_are_zeros():
    pyramid, codebook, z = data("mnist", 2)
    quantized = StreamingAverageQuantizer(codebook, pyramid)(z)
    visited = [{10}, {10, 5, 7, 13, 15}, set(range(16)), set(range(16))]
    for layer, places in enumerate(visited):
        assert set(quantized.visited[layer].nonzero()[:, 0].tolist()) == places
        empty = [n for n in range(16) if n not in places]
        assert (quantized.embeddings[layer][:, empty] == 0).all()
        assert (quantized.embeddings[layer][:, sorted(places)] != 0).all()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_depth_gives_the_first_layers_of_the_full_run(depth):
    pyramid, codebook, z = data("mnist", 3)
    quantizer = StreamingAverageQuantizer(codebook, pyramid)
    full, part = quantizer(z), quantizer(z, depth)
    assert len(part.ids) == len(part.targets) == len(part.margins) == len(part.embeddings) == len(part.visited) == depth
    for layer in range(depth):
        assert part.ids[layer].equal(full.ids[layer]) and part.targets[layer].equal(full.targets[layer])
        assert part.margins[layer].equal(full.margins[layer])
    torch.testing.assert_close(part.embeddings, full.embeddings[:depth])
    assert part.visited.equal(full.visited[:depth])


def test_the_gradient_of_the_last_embedding_is_the_identity():
    pyramid, codebook, z = data("mnist", 2)
    z.requires_grad_()
    quantized = StreamingAverageQuantizer(codebook, pyramid)(z)
    weight = torch.randn_like(z)
    (quantized.embeddings[-1] * weight).sum().backward()
    assert z.grad is not None and z.grad.equal(weight)


def test_earlier_embeddings_send_no_gradient():
    pyramid, codebook, z = data("mnist", 2)
    z.requires_grad_()
    StreamingAverageQuantizer(codebook, pyramid)(z).embeddings[:-1].sum().backward()
    assert z.grad is not None and not z.grad.any()


def test_what_is_looked_up_at_layer_4_counts_the_words_before():
    """z_l = z + sum (z - e): its gradient is one more than the words at that position."""
    pyramid, codebook, z = data("mnist", 1)
    z.requires_grad_()
    StreamingAverageQuantizer(codebook, pyramid)(z).targets[3].sum().backward()
    slopes = torch.full((16,), 2.0)
    slopes[[10, 5, 7, 13, 15]] = 3.0
    assert z.grad is not None and z.grad[0, :, 0].equal(slopes)


def test_straight_through_takes_the_value_and_passes_the_gradient():
    z = torch.tensor([1.0, 2.0], requires_grad=True)
    out = straight_through(z, torch.tensor([5.0, -1.0]))
    assert out.tolist() == [5.0, -1.0]
    (out * torch.tensor([3.0, 4.0])).sum().backward()
    assert z.grad is not None and z.grad.tolist() == [3.0, 4.0]


def test_ids_alone_give_the_embeddings_of_every_prefix():
    pyramid, codebook, z = data("image", 2)
    quantizer = StreamingAverageQuantizer(codebook, pyramid)
    quantized = quantizer(z)
    for depth in range(1, 7):
        torch.testing.assert_close(
            quantizer.decode_ids(quantized.ids, range(1, depth + 1)), quantized.embeddings[depth - 1]
        )
    torch.testing.assert_close(quantizer.decode_ids(quantized.ids), quantized.embeddings[-1])


@pytest.mark.parametrize("layers", [(), (1,), (2,), (4,), (1, 3), (2, 4), (3, 4), (1, 2, 4)], ids=str)
def test_ids_of_any_layers_average_at_their_positions(layers):
    pyramid, codebook, z = data("mnist", 2)
    quantizer = StreamingAverageQuantizer(codebook, pyramid)
    ids = quantizer(z).ids
    places = {1: [10], 2: [5, 7, 13, 15], 3: list(range(16)), 4: list(range(16))}
    expected = torch.zeros(2, 16, 4)
    for b, n in itertools.product(range(2), range(16)):
        words = [int(ids[layer - 1][b, places[layer].index(n)]) for layer in layers if n in places[layer]]
        if words:
            expected[b, n] = torch.stack([codebook[k] for k in words]).mean(0)
    torch.testing.assert_close(quantizer.decode_ids(ids, layers), expected)
