"""SAQ with projected coordinates, against a slow transcription of what each layer compares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spae.errors import InputError
from spae.pyramid import Pyramid
from spae.quantizers import ProjectedSAQ, StreamingAverageQuantizer
from spae.quantizers.projected_saq import projected_coordinates


def words_of(count: int = 90, width: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    scales = torch.tensor([5.0, 1.0, 0.2, 3.0, 0.1, 0.5])[:width]
    mixed = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
    return torch.randn(count, width, generator=generator) * scales @ mixed + 2


def made(layers: int = 2, width: int = 3) -> tuple[ProjectedSAQ, torch.Tensor, torch.Tensor]:
    words, pyramid = words_of(), Pyramid.preset("picto")
    z = torch.randn(3, pyramid.cells, words.shape[1] + width, generator=torch.Generator().manual_seed(2))
    return ProjectedSAQ(words, pyramid, layers, width), words, z


def test_coordinates_are_the_principal_components_with_deviation_one():
    words = words_of()
    found = projected_coordinates(words, 3).numpy()
    centred = words.double().numpy() - words.double().numpy().mean(0)
    left = np.linalg.svd(centred, full_matrices=False)[0][:, :3] * np.sqrt(len(words) - 1)
    # A component has no sign of its own.
    assert np.abs(np.abs(left) - np.abs(found)).max() < 1e-5
    assert np.allclose(found.mean(0), 0, atol=1e-5) and np.allclose(np.cov(found.T), np.eye(3), atol=1e-5)


def test_the_sign_of_a_coordinate_does_not_depend_on_the_order_of_words():
    words = words_of()
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(projected_coordinates(words[order], 4), projected_coordinates(words, 4)[order])


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_equals_the_equations_in_what_each_layer_compares(layers):
    quantizer, words, z = made(layers)
    out = quantizer(z)
    vectors = torch.cat([words, projected_coordinates(words, 3)], 1).double().numpy()
    pyramid, image = quantizer.pyramid, z[1].double().numpy()
    said: dict[int, list[int]] = {n: [] for n in range(pyramid.cells)}
    for layer in range(1, pyramid.depth + 1):
        channels = range(6, 9) if layer > pyramid.depth - layers else range(6)
        for place, n in enumerate(pyramid.positions(layer)):
            z_l = image[n, channels] + sum(image[n, channels] - vectors[k, channels] for k in said[n])
            k = int(((vectors[:, channels] - z_l) ** 2).sum(1).argmin())
            assert int(out.ids[layer - 1][1, place]) == k
            assert np.allclose(out.targets[layer - 1][1, place].numpy(), z_l, atol=1e-4)
            said[n].append(k)
        for n, ids in said.items():
            mean = np.mean([vectors[k] for k in ids], 0) if ids else np.zeros(9)
            assert np.allclose(out.embeddings[layer - 1][1, n].numpy(), mean, atol=1e-4)


def test_ids_decode_to_their_embedding():
    quantizer, _, z = made()
    out = quantizer(z)
    torch.testing.assert_close(quantizer.decode_ids(out.ids), out.embeddings[-1])
    torch.testing.assert_close(quantizer.decode_ids(out.ids, [1, 2]), out.embeddings[1])


def test_semantic_layers_give_the_tokens_of_saq_on_the_first_channels():
    quantizer, words, z = made()
    plain = StreamingAverageQuantizer(words, quantizer.pyramid)(z[..., :6], depth=2)
    assert all(ours.equal(theirs) for ours, theirs in zip(quantizer(z, depth=2).ids, plain.ids, strict=True))


def test_the_words_stay_frozen_and_outside_the_state():
    quantizer, words, _ = made()
    assert not list(quantizer.parameters()) and not quantizer.state_dict()
    assert quantizer.codebook[:, :6].equal(words)


@pytest.mark.parametrize(
    ("layers", "width", "message"),
    [(0, 3, "1 to the 4 .* got 0"), (5, 3, "1 to the 4 .* got 5"), (2, 7, "must be 1 to 6, .* got 7"),
     (2, 0, "got 0")],
)  # fmt: skip
def test_other_layers_and_widths_are_refused(layers, width, message):
    with pytest.raises(InputError, match=message):
        ProjectedSAQ(words_of(), Pyramid.preset("picto"), layers, width)
