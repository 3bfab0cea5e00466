"""Images to words and back, whatever batch they come in."""

from __future__ import annotations

import copy
import json
import shutil

import numpy as np
import pytest
import torch

from spae.errors import InputError, ShapeError
from spae.tokenizers import lexical
from spae.tokenizers.lexical import LexicalTokenizer
from spae.tokenizers.protocol import Tokenizer
from spae.vocabulary import VOCABULARIES, LexicalVocabulary


@pytest.fixture
def tokenizer(tiny_folder):
    return LexicalTokenizer.from_pretrained(tiny_folder)


def to_tensor(images):
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def same(some, others):
    return all((a == b).all() for a, b in zip(some, others, strict=True))


def test_words_and_images_have_the_stated_shapes(tokenizer, tiny, image_batch):
    assert isinstance(tokenizer, Tokenizer)
    assert (tokenizer.name, tokenizer.depth, tokenizer.image_size) == ("tiny", 4, 32)
    tokens = tokenizer.encode(list(image_batch))
    assert len(tokens) == 6
    for one in tokens:
        assert [len(layer) for layer in one.ids] == [1, 4, 16, 16]
        assert one.grids == ((1, 1), (2, 2), (4, 4), (4, 4)) and one.join == " "
        assert one.words == tuple(tuple(tiny.words[i] for i in layer) for layer in one.ids)
        assert tiny.split(one.text([1, 2, 3, 4])) == [i for layer in one.ids for i in layer]
    decoded = tokenizer.decode(tokens)
    assert len(decoded) == 6 and all(one.shape == (32, 32, 3) and one.dtype == np.uint8 for one in decoded)
    assert len({one.ids for one in tokens}) == 6 and len({one.tobytes() for one in decoded}) == 6, "no two alike"


def test_ids_and_reconstructions_are_those_of_the_model(tokenizer, image_batch):
    model = tokenizer._model
    tokens = tokenizer.encode(list(image_batch))
    with torch.no_grad():
        quantized = model.encode(to_tensor(image_batch))
        for layer in range(4):
            assert [list(one.ids[layer]) for one in tokens] == quantized.ids[layer].tolist()
        for layers in ([1], [1, 2], [4], [1, 2, 3, 4]):
            expected = model.decode(model.quantizer.decode_ids(quantized.ids, layers)).clamp(-1, 1)
            for one, decoded in zip(expected, tokenizer.decode(tokens, layers), strict=True):
                difference = (one.permute(1, 2, 0).double() + 1) * 127.5 - torch.from_numpy(decoded)
                assert difference.abs().max() <= 0.501
    assert same(tokenizer.decode(tokens), tokenizer.decode(tokens, [1, 2, 3, 4]))


@pytest.mark.parametrize("batch", [1, 2, 4, 64])
def test_words_do_not_depend_on_batch_or_order(tokenizer, monkeypatch, image_batch, batch):
    images = list(image_batch)
    alone = [tokenizer.encode([image])[0] for image in images]
    monkeypatch.setattr(lexical, "BATCH", batch)
    assert tokenizer.encode(images) == alone
    assert tokenizer.encode(images[::-1]) == alone[::-1]
    decoded = tokenizer.decode(alone)
    assert len(decoded) == 6
    single = [tokenizer.decode([tokens])[0] for tokens in alone]
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(decoded, single, strict=True))


def test_nothing_gives_nothing(tokenizer):
    assert tokenizer.encode([]) == [] and tokenizer.decode([]) == []


@pytest.fixture
def near_ties(tmp_path, monkeypatch, save_model):
    """A tokenizer each of whose words has another that differs from it only in the fifth digit."""
    generator = torch.Generator().manual_seed(2)
    half = torch.randn(90, 16, generator=generator) * 0.3
    embeddings = torch.stack([half, half + 1e-5 * torch.randn(90, 16, generator=generator)], 1).flatten(0, 1)
    names = tuple(f"w{a}{b}" for a in "abcdefghijklmnopqr" for b in "abcdefghij")
    words = LexicalVocabulary(names, embeddings, "near_ties", "0")
    monkeypatch.setitem(VOCABULARIES, "tiny", lambda: words)
    save_model(tmp_path, words, latent_scale=1.0)
    return LexicalTokenizer.from_pretrained(tmp_path)


def test_near_ties_are_settled_in_float64(near_ties, monkeypatch, image_batch):
    """A stand-in for a machine that rounds differently: scores in float32 a little off."""
    exact_model = copy.deepcopy(near_ties._model).double()
    with torch.no_grad():
        exact = exact_model.encode(to_tensor(image_batch).double()).ids
    expected = [[layer[i].tolist() for layer in exact] for i in range(6)]
    assert near_ties._exact_model() is not near_ties._model
    table = near_ties._model.quantizer.table
    scores = table.scores

    def off(rows):
        found = scores(rows)
        return found + 1e-4 * torch.rand(found.shape, generator=torch.Generator().manual_seed(9))

    monkeypatch.setattr(table, "scores", off)
    assert as_lists(near_ties.encode(list(image_batch))) == expected
    monkeypatch.setattr(lexical, "NEAR_TIE", -1.0)
    assert as_lists(near_ties.encode(list(image_batch))) != expected, "the disturbance is large enough to matter"


def as_lists(tokens):
    return [[list(layer) for layer in one.ids] for one in tokens]


def test_only_images_with_a_near_tie_are_encoded_twice(tokenizer, monkeypatch, image_batch):
    seen = []
    exact = tokenizer._exact_model()
    encode = exact.encode
    monkeypatch.setattr(exact, "encode", lambda images, depth: seen.extend(images) or encode(images, depth))
    with torch.no_grad():
        margins = tokenizer._model.encode(to_tensor(image_batch)).margins
    least = torch.stack([margin.amin(1) for margin in margins]).amin(0).sort().values
    for close, bound in ((0, -1.0), (2, (least[1] + least[2]).item() / 2), (6, float("inf"))):
        seen.clear()
        monkeypatch.setattr(lexical, "NEAR_TIE", bound)
        tokenizer.encode(list(image_batch))
        assert len(seen) == close and all(one.dtype == torch.float64 for one in seen)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_depth_gives_the_first_layers(tokenizer, image_batch, depth):
    whole, part = tokenizer.encode(list(image_batch)), tokenizer.encode(list(image_batch), depth)
    assert [one.ids for one in part] == [one.ids[:depth] for one in whole]
    assert [one.words for one in part] == [one.words[:depth] for one in whole]
    layers = list(range(1, depth + 1))
    assert same(tokenizer.decode(part), tokenizer.decode(whole, layers))


@pytest.mark.parametrize("depth", [0, 5, -1])
def test_depths_out_of_range_are_refused(tokenizer, image_batch, depth):
    with pytest.raises(InputError, match="layers 1 to 4"):
        tokenizer.encode(list(image_batch), depth)


@pytest.mark.parametrize("layers", [[0], [5], [1, 3]])
def test_layers_that_the_tokens_lack_are_refused(tokenizer, image_batch, layers):
    tokens = tokenizer.encode(list(image_batch[:1]), 2 if layers == [1, 3] else 4)
    with pytest.raises(InputError, match="must be of 1 to"):
        tokenizer.decode(tokens, layers)


@pytest.mark.parametrize(
    ("shape", "middle"),
    [((32, 48), np.s_[:, 8:40]), ((50, 32), np.s_[9:41]), ((33, 32), np.s_[0:32]), ((64, 100), np.s_[:, 18:82])],
)
def test_the_middle_square_is_taken(tokenizer, shape, middle):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert (tokenizer.prepare(image) == tokenizer.prepare(image[middle])).all()
    assert tokenizer.encode([image]) == tokenizer.encode([image[middle]])


def test_an_image_of_the_right_size_is_unchanged(tokenizer, image_batch):
    for image in image_batch:
        assert (tokenizer.prepare(image) == image).all()


def test_images_are_resized_with_antialiasing(tokenizer):
    assert (tokenizer.prepare(np.full((70, 70, 3), 201, np.uint8)) == 201).all()
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small = tokenizer.prepare(stripes).astype(int)
    assert small.shape == (32, 32, 3) and small.min() >= 120 and small.max() <= 135, "even grey, no moire"
    assert tokenizer.prepare(np.zeros((5, 9, 3), np.uint8)).shape == (32, 32, 3)


def test_views_of_an_image_are_read_correctly(tokenizer, image_batch):
    turned = image_batch[0][::-1, ::-1]
    assert (tokenizer.prepare(turned) == np.ascontiguousarray(turned)).all()


@pytest.mark.parametrize(
    "image",
    [np.zeros((32, 32), np.uint8), np.zeros((32, 32, 4), np.uint8), np.zeros((32, 32, 3), np.float32)],
    ids=["grey", "alpha", "float"],
)
def test_other_arrays_are_refused(tokenizer, image):
    with pytest.raises(ShapeError, match=r"\[H, W, 3\] uint8"):
        tokenizer.encode([image])


def test_the_fingerprint_follows_weights_and_configuration(tiny_folder, tokenizer, tmp_path, save_model):
    assert LexicalTokenizer.from_pretrained(tiny_folder, "other").fingerprint == tokenizer.fingerprint
    assert LexicalTokenizer.from_pretrained(tiny_folder, "other").name == "other"
    shutil.copytree(tiny_folder, tmp_path / "copy")
    config = json.loads((tmp_path / "copy/config.json").read_text())
    (tmp_path / "copy/config.json").write_text(json.dumps(config | {"name": "else"}))
    save_model(tmp_path / "free")
    others = {LexicalTokenizer.from_pretrained(tmp_path / name).fingerprint for name in ("copy", "free")}
    assert len(others | {tokenizer.fingerprint}) == 3


def test_a_learned_codebook_shows_its_ids_as_words_by_rank(tmp_path, tiny, save_model, image_batch):
    save_model(tmp_path, quantizer="vq")
    tokenizer = LexicalTokenizer.from_pretrained(tmp_path)
    (one,) = tokenizer.encode([image_batch[0]])
    assert tokenizer.depth == 1 and one.grids == ((4, 4),)
    assert one.words[0] == tuple(tiny.words[i] for i in one.ids[0]) and max(one.ids[0]) < 20
    assert tokenizer.decode([one])[0].shape == (32, 32, 3)


def test_models_of_videos_and_of_too_many_entries_are_refused(tmp_path, tiny, save_model):
    videos = {"network": "picto-video", "num_frames": 16, "pyramid": ((1, 1, 1), (4, 4, 4))}
    save_model(tmp_path / "videos", **videos)
    with pytest.raises(InputError, match=r"is a model of videos, in a grid of \(4, 4, 4\)"):
        LexicalTokenizer.from_pretrained(tmp_path / "videos")
    save_model(tmp_path / "many", quantizer="vq", codebook_size=201)
    with pytest.raises(InputError, match="has 201 codebook entries and 200 words"):
        LexicalTokenizer.from_pretrained(tmp_path / "many")


@pytest.mark.parametrize(
    "fields",
    [
        {"quantizer": "rq", "pyramid": (4, 4)},
        {"quantizer": "vq", "codebook": "frozen", "l2_normalize": True},
        {"quantizer": "rq", "pyramid": (1, 4), "codebook": "learned"},
    ],
    ids=["rq", "words by angle", "learned rq"],
)
def test_other_quantizers_do_not_depend_on_the_batch(tmp_path, tiny, save_model, image_batch, fields):
    save_model(tmp_path / "model", **fields)
    tokenizer = LexicalTokenizer.from_pretrained(tmp_path / "model")
    together = tokenizer.encode(list(image_batch))
    assert together == [tokenizer.encode([image])[0] for image in image_batch]
    assert len({one.ids for one in together}) > 1
    assert tokenizer.decode(together)[0].shape == (32, 32, 3)
