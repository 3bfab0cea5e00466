"""Words, their two files, and that their text splits back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from spae.errors import InputError, ShapeError, WeightsError
from spae.vocabulary import LexicalVocabulary


def small(**changes: Any) -> LexicalVocabulary:
    built = LexicalVocabulary(("sun", "moon", "star"), torch.arange(6.0).view(3, 2), "a test", "ab" * 32)
    return replace(built, **changes)


def test_split_is_the_inverse_of_the_join():
    built = small()
    for ids in ([], [2], [0, 1, 2, 1, 1]):
        assert built.split(built.join.join(built.words[i] for i in ids)) == ids
    assert small(join=", ").split("star, sun") == [2, 0]


@pytest.mark.parametrize("text", ["sun mars", "sun  moon", " sun", "sun ", "Sun", "sun\nmoon"])
def test_text_of_other_words_is_refused(text):
    with pytest.raises(InputError, match="not one of the 3 words of a test"):
        small().split(text)


def test_repeated_words_and_missing_rows_are_refused():
    with pytest.raises(InputError, match="1 repeated"):
        small(words=("sun", "moon", "sun"))
    with pytest.raises(ShapeError, match="2 words"):
        small(words=("sun", "moon"))
    with pytest.raises(ShapeError, match=r"\[V, C\]"):
        small(embeddings=torch.zeros(3))
    with pytest.raises(ShapeError, match="as many token ids, got 2"):
        small(tokens=(1, 2))


def test_a_saved_vocabulary_loads_the_same(tmp_path):
    built = small(join="|", tokens=(7, 3, 9), filters={"most_frequent": 3}, round_trip_rate=0.5)
    built.save(tmp_path / "words.safetensors")
    assert {file.name for file in tmp_path.iterdir()} == {"words.safetensors", "words.json"}
    assert str(tmp_path) not in (tmp_path / "words.json").read_text()
    read = LexicalVocabulary.load(tmp_path / "words.safetensors")
    assert (read.tokens, read.filters, read.round_trip_rate) == ((7, 3, 9), {"most_frequent": 3}, 0.5)
    assert read.embeddings.equal(built.embeddings) and read.fingerprint == built.fingerprint
    assert (read.words, read.source, read.source_sha256, read.join) == (
        built.words, built.source, built.source_sha256, built.join,
    )  # fmt: skip
    assert read.index == {"sun": 0, "moon": 1, "star": 2} and len(read) == 3
    small().save(tmp_path / "plain.safetensors")
    plain = LexicalVocabulary.load(tmp_path / "plain.safetensors")
    assert (plain.tokens, plain.filters, plain.round_trip_rate) == (None, {}, None)


def test_the_fingerprint_depends_on_words_join_and_embeddings():
    base = small()
    assert base.fingerprint == small(source="elsewhere", tokens=(1, 2, 3), round_trip_rate=0.1).fingerprint
    nudged = base.embeddings.clone()
    nudged[2, 1] += 1e-6
    others = [
        small(words=("sun", "moon", "stars")),
        small(words=("moon", "sun", "star")),
        small(embeddings=nudged),
        small(join=""),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 5


@given(
    words=st.lists(st.text("ab-", min_size=1, max_size=3), min_size=3, max_size=3, unique=True),
    ids=st.lists(st.integers(0, 2), max_size=6),
)
def test_joined_words_split_back(words, ids):
    built = small(words=tuple(words))
    assert built.split(built.join.join(built.words[i] for i in ids)) == ids


def write_broken(path: Path, kind: str) -> None:
    small().save(path)
    about = path.with_suffix(".json")
    content = json.loads(about.read_text())
    if kind == "no file":
        path.unlink()
    elif kind == "no json":
        about.unlink()
    elif kind == "not safetensors":
        path.write_bytes(b"nothing of the kind")
    elif kind == "not json":
        about.write_text("{")
    elif kind == "a list":
        about.write_text("[]")
    elif kind == "cut short":
        path.write_bytes(path.read_bytes()[:-4])
    elif kind == "no fingerprint":
        save_file({"embeddings": torch.zeros(3, 2)}, path)
    elif kind == "of another":
        small(words=("a", "b", "c")).save(path.with_name("other.safetensors"))
        path.with_name("other.json").replace(about)
    elif kind == "no tensor":
        save_file({"other": torch.zeros(3, 2)}, path, {"fingerprint": content["fingerprint"]})
    elif kind == "half precision":
        save_file({"embeddings": torch.zeros(3, 2).half()}, path, {"fingerprint": content["fingerprint"]})
    else:
        changed = {"words without rows": ["a"], "a word twice": ["sun", "sun", "moon"], "no words": None}
        about.write_text(json.dumps(content | {"words": changed[kind]}))


KINDS = ["no file", "no json", "not safetensors", "not json", "a list", "cut short", "no fingerprint", "of another"]
KINDS += ["no tensor", "half precision", "words without rows", "a word twice", "no words"]


@pytest.mark.parametrize("kind", [*KINDS, "new format"])
def test_a_broken_file_is_one_clear_line(tmp_path, kind):
    if kind == "new format":
        small().save(tmp_path / "words.safetensors")
        about = tmp_path / "words.json"
        about.write_text(about.read_text().replace('"format": 1', '"format": 2'))
    else:
        write_broken(tmp_path / "words.safetensors", kind)
    with pytest.raises(WeightsError, match="is not a vocabulary file") as caught:
        LexicalVocabulary.load(tmp_path / "words.safetensors")
    assert "\n" not in str(caught.value)
