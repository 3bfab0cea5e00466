"""Codecs: each image encoded once, whoever asks; other images' words; nothing loaded that is stored."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from spae.errors import InputError
from spae.tokenizers.codec import Codec
from spae.tokenizers.store import FILE, TokenStore
from spae.tokens import ImageTokens


class CountingTokenizer:
    """Two layers of an image's first bytes as words; counts what it is asked for."""

    name, fingerprint, family, depth, image_size = "counting", "f" * 64, "test", 2, 2
    vocabulary = tuple(f"w{i}" for i in range(256))

    def __init__(self) -> None:
        self.encoded: list[int] = []
        self.decoded: list[int] = []

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return image[:2, :2]

    def encode(self, images, depth=None):
        self.encoded.append(len(images))
        made = []
        for image in images:
            flat = [int(value) for value in image.ravel()[:5]]
            ids = (tuple(flat[:1]), tuple(flat[1:5]))
            words = tuple(tuple(self.vocabulary[i] for i in layer) for layer in ids)
            made.append(ImageTokens(ids, words, ((1, 1), (2, 2))).first_layers(depth or 2))
        return made

    def decode(self, tokens, layers=None):
        self.decoded.append(len(tokens))
        return [np.full((2, 2, 3), sum(one.ids[layer - 1][0] for layer in layers), np.uint8) for one in tokens]


class Set:
    """Images by id; counts how often one is read."""

    def __init__(self, count: int = 150) -> None:
        noise = np.random.default_rng(0).integers(0, 100, (count, 4, 4, 3), dtype=np.uint8)
        self.pixels = {f"image-{i}": one for i, one in enumerate(noise)}
        self.read: list[str] = []

    def image(self, name: str) -> np.ndarray:
        self.read.append(name)
        return self.pixels[name]


@pytest.fixture
def tokenizer():
    return CountingTokenizer()


@pytest.fixture
def images():
    return Set()


def test_each_image_is_encoded_once_in_batches(tokenizer, images, tmp_path):
    codec = Codec(tokenizer, (1, 2), images, TokenStore(tmp_path))
    names = list(images.pixels)
    codec.prepare([*names, *names])
    assert tokenizer.encoded == [64, 64, 22] and sorted(images.read) == sorted(names)
    found = codec.encode(names)
    assert [one.ids[0][0] for one in found] == [int(images.pixels[name][0, 0, 0]) for name in names]
    assert codec.text(names[0]) == " ".join(f"w{int(i)}" for i in images.pixels[names[0]].ravel()[:5])
    assert codec.vocabulary[7] == "w7" and len(tokenizer.encoded) == 3 and len(images.read) == 150


def test_codecs_that_share_a_store_encode_an_image_once(tokenizer, images, tmp_path):
    store = TokenStore(tmp_path)
    names = list(images.pixels)[:10]
    for layers in ((1,), (1, 2), (2,)):
        assert len(Codec(tokenizer, layers, images, store, depth=2).encode(names)) == 10
    assert tokenizer.encoded == [10]


def test_a_second_run_encodes_nothing(tokenizer, images, tmp_path):
    names = list(images.pixels)
    first = Codec(tokenizer, (1, 2), images, TokenStore(tmp_path))
    tokens, decoded = first.encode(names), first.decode(first.encode(names[:5]))
    second = Codec(CountingTokenizer(), (1, 2), images, TokenStore(tmp_path))
    assert second.encode(names) == tokens and np.array_equal(second.decode(tokens[:5]), decoded)
    assert second.tokenizer.encoded == [] and second.tokenizer.decoded == []


def test_a_damaged_entry_is_encoded_again(tokenizer, images, tmp_path):
    import sqlite3

    names = list(images.pixels)[:4]
    tokens = Codec(tokenizer, (1, 2), images, TokenStore(tmp_path)).encode(names)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE entries SET value = zeroblob(9) WHERE rowid = 2")
    db.close()
    again = CountingTokenizer()
    assert Codec(again, (1, 2), images, TokenStore(tmp_path)).encode(names) == tokens
    assert again.encoded == [1]


def test_equal_images_and_equal_tokens_are_asked_for_once(tokenizer, images):
    images.pixels["copy"] = images.pixels["image-0"].copy()
    codec = Codec(tokenizer, (1,), images, TokenStore(None))
    tokens = codec.encode(["image-0", "copy", "image-1"])
    assert tokens[0] == tokens[1] and tokenizer.encoded == [2]
    decoded = codec.decode(tokens)
    assert tokenizer.decoded == [2] and np.array_equal(decoded[0], decoded[1])


def test_decoding_uses_the_layers_of_the_codec_or_those_asked_for(tokenizer, images):
    codec = Codec(tokenizer, (1,), images, TokenStore(None), depth=2)
    (tokens,) = codec.encode(["image-3"])
    assert codec.decode([tokens])[0][0, 0, 0] == tokens.ids[0][0]
    assert codec.decode([tokens], (1, 2))[0][0, 0, 0] == tokens.ids[0][0] + tokens.ids[1][0]


def test_inputs_are_prepared_once_and_never_shuffled(images, tmp_path):
    prepared = []

    class Preparing(CountingTokenizer):
        def prepare(self, image):
            prepared.append(image)
            return image[:2, :2]

    for _ in range(2):
        codec = Codec(Preparing(), (1,), images, TokenStore(tmp_path), shuffled={"image-0": "image-1"})
        assert np.array_equal(codec.inputs(["image-0"]), [images.pixels["image-0"][:2, :2]])
    assert len(prepared) == 1
    assert np.array_equal(Codec(Preparing(), (1,), images).inputs(["image-2"])[0], images.pixels["image-2"][:2, :2])


def test_shuffled_images_are_shown_with_the_words_of_others(tokenizer, images):
    names = list(images.pixels)
    others = dict(zip(names, [*names[1:], names[0]], strict=True))
    store = TokenStore(None)
    own = Codec(tokenizer, (1, 2), images, store)
    shuffled = Codec(tokenizer, (1, 2), images, store, shuffled=others)
    assert [shuffled.text(name) for name in names[:5]] == [own.text(name) for name in names[1:6]]


@pytest.mark.parametrize("layers", [(), (0,), (3,), (1, 1)])
def test_layers_must_be_the_tokenizers(tokenizer, images, layers):
    with pytest.raises(InputError, match="has layers 1 to 2, each once"):
        Codec(tokenizer, layers, images)


def test_stored_tokens_are_read_without_loading_the_network(tmp_path):
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from spae.tokenizers.codec import Codec; from spae.tokenizers.registry import open_tokenizer\n"
        "from spae.tokenizers.store import TokenStore\n"
        "class Images:\n"
        "    def image(self, name): return np.full((48, 40, 3), int(name), np.uint8)\n"
        "codec = Codec(open_tokenizer('spae'), (1, 2), Images(), TokenStore(Path(sys.argv[1])))\n"
        "assert codec.inputs(['9'])[0].shape == (32, 32, 3)\n"
        "print(codec.text('7'), codec.decode(codec.encode(['7', '200']))[1].mean())\n"
        "print('torch' in sys.modules)\n"
    )
    said = [
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    first, second = (text.splitlines() for text in said)
    assert first[0] == second[0] and len(first[0].split()) == 6
    assert (first[1], second[1]) == ("True", "False")
