"""What holds for every quantizer: frozen codebooks stay, ids are checked, videos of one frame are images."""

from __future__ import annotations

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from spae.errors import InputError, ShapeError
from spae.pyramid import PRESETS, Pyramid
from spae.quantizers import Quantizer, ResidualQuantizer, StreamingAverageQuantizer, VectorQuantizer

WHOLE = Pyramid([4])
KINDS = [StreamingAverageQuantizer, ResidualQuantizer, VectorQuantizer]


def frozen(kind: type[Quantizer], seed: int = 0, **settings) -> Quantizer:
    """One of 20 words, 3 wide, on a 4x4 grid."""
    codebook = torch.randn(20, 3, generator=torch.Generator().manual_seed(seed))
    return kind(codebook, WHOLE if kind is VectorQuantizer else Pyramid.preset("mnist"), **settings)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{}, {"search": torch.bfloat16}], ids=["float32", "bfloat16"])
def test_a_frozen_codebook_never_changes(kind, settings):
    quantizer, other = frozen(kind, **settings), frozen(kind, seed=1, **settings)
    kept, z = quantizer.codebook.clone(), torch.randn(2, 16, 3)
    ids = [one.clone() for one in quantizer(z).ids]

    # An optimizer finds nothing to move, and the loss reaches nothing in it.
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), quantizer).train()
    assert dict(quantizer.named_buffers())["codebook"] is quantizer.codebook
    assert not list(quantizer.parameters()) and not quantizer.codebook.requires_grad
    quantized = model(z)
    loss = quantized.embeddings[-1].square().sum() + quantizer.codebook_loss(quantized)
    (loss + sum(target.square().sum() for target in quantized.targets)).backward()
    torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5).step()
    assert quantizer.codebook.grad is None and quantizer.codebook.equal(kept)

    # An average over all buffers leaves it what it is, and the rest of the quantizer too.
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for _ in range(5):
        average.update_parameters(model)
    averaged = average.module[1]
    assert averaged.codebook.equal(kept) and averaged.codebook is not quantizer.codebook
    assert all(now.equal(before) for now, before in zip(averaged(z).ids, ids, strict=True))

    # A state holds none, so that neither loading nor averaging one reaches it.
    assert not quantizer.state_dict()
    quantizer.load_state_dict(other.state_dict())
    quantizer.load_state_dict({"codebook": other.codebook, "table.matrix": other.codebook}, strict=False)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        quantizer.load_state_dict({"codebook": other.codebook})
    assert quantizer.codebook.equal(kept)

    # What is searched is what is decoded from.
    assert all(now.equal(before) for now, before in zip(quantizer(z).ids, ids, strict=True))
    assert quantizer.decode_ids(ids).shape == z.shape


@pytest.mark.parametrize("kind", KINDS)
def test_later_changes_of_the_given_tensor_do_not_reach_the_codebook(kind):
    codebook = torch.randn(256, 3)
    quantizer = kind(codebook, WHOLE)
    kept, z = codebook.clone(), torch.randn(1, 16, 3)
    ids = quantizer(z).ids[0]
    codebook.zero_()
    assert quantizer.codebook.equal(kept) and quantizer(z).ids[0].equal(ids)


@pytest.mark.parametrize("kind", [StreamingAverageQuantizer, ResidualQuantizer])
@pytest.mark.parametrize("preset", [name for name, layers in PRESETS.items() if len(layers[0]) == 2])
def test_a_video_of_one_frame_is_an_image(kind, preset):
    generator = torch.Generator().manual_seed(2)
    codebook, image = torch.randn(50, 3, generator=generator), Pyramid.preset(preset)
    video = Pyramid(tuple((1, *grid) for grid in image.layers))
    z = torch.randn(2, image.cells, 3, generator=generator)
    one, two = kind(codebook, image), kind(codebook, video)
    first, second = one(z), two(z)
    assert video.tokens == image.tokens and video.grid == (1, *image.grid)
    for name in ("ids", "targets", "margins"):
        assert all(a.equal(b) for a, b in zip(getattr(first, name), getattr(second, name), strict=True)), name
    assert first.embeddings.equal(second.embeddings) and first.visited.equal(second.visited)
    assert one.decode_ids(first.ids).equal(two.decode_ids(second.ids))


def test_with_one_whole_layer_all_three_are_the_same():
    torch.manual_seed(0)
    codebook, z = torch.randn(140, 3), torch.randn(2, 16, 3)
    results = [kind(codebook, WHOLE)(z) for kind in KINDS]
    nearest = torch.cdist(z.double(), codebook.double()).argmin(-1)
    for quantized in results:
        assert quantized.ids[0].equal(nearest)
        assert quantized.embeddings.equal(results[0].embeddings)
        assert quantized.margins[0].equal(results[0].margins[0])
        assert quantized.targets[0].equal(z) and quantized.visited.all()


@pytest.mark.parametrize("kind", [StreamingAverageQuantizer, ResidualQuantizer])
@pytest.mark.parametrize("depth", [1, 2])
def test_positions_without_a_token_get_no_gradient(kind, depth):
    z = torch.randn(2, 16, 3, requires_grad=True)
    last = frozen(kind)(z, depth).embeddings[-1]
    last.sum().backward()
    places = {1: [10], 2: [5, 7, 10, 13, 15]}[depth]
    assert z.grad is not None
    assert z.grad.any(2)[0].nonzero()[:, 0].tolist() == places == last.any(2)[0].nonzero()[:, 0].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_on_memory_holds_and_changes_nothing(kind, monkeypatch):
    z = torch.randn(3, 16, 3)
    free, bound = frozen(kind), frozen(kind, max_bytes=4096)
    assert bound.table is not None
    sizes, scores = [], bound.table.scores

    def seen(rows):
        sizes.append(scores(rows).nbytes)
        return scores(rows)

    monkeypatch.setattr(bound.table, "scores", seen)
    for a, b in zip(free(z).ids, bound(z).ids, strict=True):
        assert a.equal(b)
    assert max(sizes) == 4096 and len(sizes) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_lower_precision_of_latents_is_kept(kind):
    quantizer = frozen(kind)
    z = torch.randn(2, 16, 3).bfloat16()
    quantized = quantizer(z)
    assert quantized.embeddings.dtype == torch.bfloat16
    assert quantized.ids[0].equal(quantizer(z.float()).ids[0])


def test_an_empty_batch_is_empty():
    quantized = frozen(StreamingAverageQuantizer)(torch.zeros(0, 16, 3))
    assert quantized.embeddings.shape == (4, 0, 16, 3) and [len(ids) for ids in quantized.ids] == [0] * 4


@pytest.mark.parametrize("shape", [(1, 15, 3), (1, 16, 4), (16, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_latents_that_do_not_fit_are_refused(kind, shape):
    with pytest.raises(ShapeError, match=r"\[B, 16, 3\]"):
        frozen(kind)(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("kind", KINDS)
def test_codebooks_of_another_shape_are_refused(kind, shape):
    with pytest.raises(ShapeError, match=r"\[V, C\]"):
        kind(torch.zeros(shape), WHOLE)


@pytest.mark.parametrize("depth", [0, 5])
def test_depths_out_of_range_are_refused(depth):
    with pytest.raises(InputError, match=f"from 1 to 4, got {depth}"):
        frozen(StreamingAverageQuantizer)(torch.zeros(1, 16, 3), depth)


@pytest.mark.parametrize(
    ("change", "layers", "error"),
    [
        pytest.param({0: [[20]]}, None, "run from 0 to 19, got 20 to 20", id="past the codebook"),
        pytest.param({1: [[0, 1, 2, -1]]}, None, "run from 0 to 19, got -1 to 2", id="negative"),
        pytest.param({1: [[0, 1, 2]]}, None, r"layer 2 must be a LongTensor \[1, 4\]", id="too few"),
        pytest.param({0: [[1.0]]}, None, "must be a LongTensor", id="no whole numbers"),
        pytest.param({0: [[0], [1]]}, None, "layer 2 must be a LongTensor", id="batches differ"),
        pytest.param({}, (0, 1), "must be of 1 to 4", id="layer 0"),
        pytest.param({}, (5,), "must be of 1 to 4", id="layer 5"),
        pytest.param({}, (1, 1), "once", id="a layer twice"),
    ],
)
@pytest.mark.parametrize("kind", [StreamingAverageQuantizer, ResidualQuantizer])
def test_invalid_ids_are_refused(kind, change, layers, error):
    ids = [torch.tensor(change[n]) if n in change else torch.zeros(1, count).long() for n, count in enumerate(COUNTS)]
    with pytest.raises(InputError, match=error):
        frozen(kind).decode_ids(ids, layers)


COUNTS = (1, 4, 16, 16)


def test_ids_of_the_first_layers_suffice():
    quantizer = frozen(StreamingAverageQuantizer)
    quantized = quantizer(torch.randn(2, 16, 3))
    torch.testing.assert_close(quantizer.decode_ids(quantized.ids[:2]), quantized.embeddings[1])
    with pytest.raises(InputError, match="must be of 1 to 2"):
        quantizer.decode_ids(quantized.ids[:2], [3])
    with pytest.raises(InputError, match="must be of 1 to 0"):
        quantizer.decode_ids([])
