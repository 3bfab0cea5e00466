"""Tokens as JSON: what is written is read, and what is wrong is said where it is."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest

from spae.errors import InputError
from spae.tokenizers.lexical import LexicalTokenizer
from spae.tokenizers.words_file import grids_of, read_words, words_json
from spae.tokens import ImageTokens


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, tiny_words, save_model):
    from spae.vocabulary import VOCABULARIES

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VOCABULARIES, "tiny", lambda: tiny_words)
        folder = tmp_path_factory.mktemp("model")
        save_model(folder, latent_scale=1.0)
        yield LexicalTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def encoded(tokenizer, image_batch):
    return tokenizer.encode(list(image_batch[:2]))


@pytest.fixture
def data(tokenizer, encoded):
    """What is written of two images, for a test to change."""
    return json.loads(json.dumps(words_json(tokenizer, ["a.png", "b.png"], encoded, (1, 2, 3, 4))))


def read(tokenizer, data, wanted=None):
    return read_words(json.dumps(data), tokenizer, wanted)


def test_written_tokens_read_back(tokenizer, encoded, data):
    found = read(tokenizer, data)
    assert found.names == ("a.png", "b.png") and found.layers == (1, 2, 3, 4) and found.note == ""
    assert list(found.tokens) == encoded
    assert data["vocabulary"]["sha256"] == tokenizer.lexical_vocabulary.fingerprint
    assert data["tokenizer"] == {"name": "tiny", "sha256": tokenizer.fingerprint}


@pytest.mark.parametrize("left_out", ["ids", "words"])
def test_ids_or_words_alone_are_enough(tokenizer, encoded, data, left_out):
    for image in data["images"]:
        for layer in image["tokens"]:
            del layer[left_out]
    assert list(read(tokenizer, data).tokens) == encoded


def test_fewer_layers_can_be_read(tokenizer, encoded, data):
    found = read(tokenizer, data, "1-2")
    assert found.layers == (1, 2) and [one.ids for one in found.tokens] == [one.ids[:2] for one in encoded]
    part = words_json(tokenizer, ["a.png"], encoded[:1], (1, 3))
    found = read(tokenizer, part)
    assert found.layers == (1, 3) and found.tokens[0].ids[2] == encoded[0].ids[2] and len(found.tokens[0].ids) == 3
    decoded = tokenizer.decode(found.tokens, found.layers)
    assert (decoded[0] == tokenizer.decode(encoded[:1], (1, 3))[0]).all(), "the placeholder of layer 2 is not read"
    with pytest.raises(InputError, match="no layer 2, only 1,3"):
        read(tokenizer, part, "1-3")


def test_another_tokenizer_of_the_same_words_gets_a_note(tokenizer, data):
    data["tokenizer"] = {"name": "spae-old", "sha256": "0" * 64}
    assert "another tokenizer ('spae-old') than tiny" in read(tokenizer, data).note


def test_a_misspelled_word_gets_the_near_one(tokenizer, data):
    del data["images"][1]["tokens"][1]["ids"]
    data["images"][1]["tokens"][1]["words"][2] = "lions"
    with pytest.raises(InputError, match=r"image 2 \('b.png'\), layer 2, word 3: 'lions' .* did you mean 'lion'\?"):
        read(tokenizer, data)


def at(*path):
    """Sets a value deep in the data."""

    def change(data, value):
        for step in path[:-1]:
            data = data[step]
        data[path[-1]] = value

    return change


LAYER = ("images", 0, "tokens", 1)


@pytest.mark.parametrize(
    ("where", "value", "rule"),
    [
        (("format",), 2, '"format": 1'),
        (("vocabulary", "sha256"), "f" * 64, "made with vocabulary 'fffffffffff.*made it .'tiny'"),
        (("vocabulary",), "tiny", "made with vocabulary None"),
        (("vocabulary",), None, "made with vocabulary None"),
        (("grids",), [[1, 1], [3, 3]], "the file's layers have grids .* tiny's are 1x1, 2x2, 4x4, 4x4"),
        (("grids",), "big", "grids 'big'"),
        (("grids",), [], "grids"),
        (("grids",), [[1, 1]] * 9, "grids"),
        (("layers",), [0], "must run upwards within 1 to 4"),
        (("layers",), [2, 1], "must run upwards"),
        (("layers",), [1, 1], "must run upwards"),
        (("layers",), [5], "must run upwards"),
        (("layers",), ["1"], "must list the layers"),
        (("layers",), [True], "must list the layers"),
        (("layers",), [], "must list the layers"),
        (("images",), [], "at least one image"),
        (("images",), {"a": 1}, "at least one image"),
        (("images", 0), 7, "image 1 must be a JSON object"),
        (("images", 0, "image"), 7, "image 1 must have a text as its name"),
        (("images", 0, "tokens"), None, '"tokens" must list objects'),
        (("images", 0, "tokens"), [1], '"tokens" must list objects'),
        (("images", 0, "tokens"), [], "lacks layer 1"),
        ((*LAYER, "layer"), 1, "each layer must appear once"),
        ((*LAYER, "layer"), "2", "each layer must appear once"),
        ((*LAYER, "layer"), [2], "each layer must appear once"),
        ((*LAYER, "ids"), [1, 2, 3], "layer 2 must list 4 ids, got 3"),
        ((*LAYER, "ids"), "1234", "layer 2 must list 4 ids"),
        ((*LAYER, "ids"), [1, 2, 3, 200], "id 4 must be a whole number from 0 to 199, got 200"),
        ((*LAYER, "ids"), [1, 2, 3, -1], "id 4 must be a whole number"),
        ((*LAYER, "ids"), [1, 2, True, 3], "id 3 must be a whole number"),
        ((*LAYER, "ids"), [1.0, 2, 3, 4], "id 1 must be a whole number"),
        ((*LAYER, "ids"), [10**400, 2, 3, 4], "id 1 must be a whole number"),
        ((*LAYER, "words"), ["lion"], "layer 2 must list 4 words, got 1"),
        ((*LAYER, "words"), ["lion", "cat", "vase", 3], "word 4: 3 is not one of tiny's 200 words"),
        ((*LAYER, "words"), ["x" * 10**6, "cat", "vase", "cat"], "word 1: .* is not one of tiny's 200 words: use"),
        ((*LAYER, "words"), ["\x1b[2J\n", "cat", "vase", "cat"], r"word 1: '\\x1b\[2J\\n' is not"),
    ],
    ids=lambda value: None,
)
def test_errors_name_their_place(tokenizer, data, where, value, rule):
    broken = copy.deepcopy(data)
    if where == (*LAYER, "words"):
        del broken["images"][0]["tokens"][1]["ids"]
    if where[-1] == "ids":
        del broken["images"][0]["tokens"][1]["words"]
    at(*where)(broken, value)
    with pytest.raises(InputError, match=rule) as caught:
        read(tokenizer, broken)
    said = str(caught.value)
    assert "\n" not in said and "\x1b" not in said and len(said) < 500


def test_ids_and_words_must_agree(tokenizer, data):
    layer = data["images"][0]["tokens"][0]
    layer["ids"] = [0]
    layer["words"] = ["cat"]
    with pytest.raises(InputError, match=r"token 1: id 0 is 'lion', the word there is 'cat': remove ids or words"):
        read(tokenizer, data)
    del layer["ids"], layer["words"]
    with pytest.raises(InputError, match="neither ids nor words"):
        read(tokenizer, data)


@pytest.mark.parametrize(
    "text",
    ["", "{", "nonsense", "[" * 100_000, b"\xff\xfe\x00", b"\x80", "null", "3", '"format"', "[]", '{"format": "1"}',
     '{"format": NaN}', "9" * 10_000],
    ids=lambda value: None,
)  # fmt: skip
def test_other_json_is_refused(tokenizer, text):
    with pytest.raises(InputError, match="tokens must be") as caught:
        read_words(text, tokenizer)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


class Plugin:
    """A tokenizer of a plug-in without a vocabulary."""

    name, fingerprint, depth, image_size, vocabulary = "plugin", "1" * 64, 1, 4, ()

    def encode(self, images, depth=None):
        return [ImageTokens(((1, 2, 3, 4),), (tuple("abcd"),), ((2, 2),)) for _ in images]

    def decode(self, tokens, layers=None):
        return [np.zeros((4, 4, 3), np.uint8) for _ in tokens]


def test_tokens_of_a_plug_in_are_read_by_ids():
    plugin = Plugin()
    assert grids_of(plugin) == ((2, 2),)
    data = words_json(plugin, ["a"], plugin.encode([0]), (1,))
    assert "vocabulary" not in data
    assert read(plugin, data).tokens[0].ids == ((1, 2, 3, 4),)
    del data["images"][0]["tokens"][0]["ids"]
    with pytest.raises(InputError, match="has no vocabulary, so ids are needed"):
        read(plugin, data)
    data["vocabulary"] = {"sha256": "2" * 64}
    with pytest.raises(InputError, match="plugin has None: pass"):
        read(plugin, data)


def test_a_file_too_large_is_refused(tokenizer, monkeypatch):
    monkeypatch.setattr("spae.tokenizers.words_file.MAX_BYTES", 10)
    with pytest.raises(InputError, match="may have 10 bytes, got 11"):
        read_words("x" * 11, SimpleNamespace())
