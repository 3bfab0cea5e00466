"""Words through a tokenizer and back: always the same for whole words, a measured share for anything else."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from typer.testing import CliRunner

from benchmarks import round_trip
from benchmarks.cli import app
from benchmarks.errors import UsageError
from benchmarks.round_trip import measure, measure_names
from llm_backends.errors import BackendUnavailable
from llm_backends.local.smollm2 import find_gguf, smollm2_source
from llm_backends.text_tokenizer import PlainTokenizer
from spae.vocabulary import LexicalVocabulary, open_vocabulary, whole_words
from tests.llm_backends.openai_server import FaultServer


def made_up_words(count: int) -> list[str]:
    rng = random.Random(5)
    return sorted({"".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 9))) for _ in range(count)})


def byte_level(words: list[str]) -> Tokenizer:
    """A GPT-2-like tokenizer that has learned these words whole, and parts of others."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([f"Input: {' '.join(words)}"] * 3, trainer)
    return tokenizer


def vocabulary_of(words: list[str], join: str = " ") -> LexicalVocabulary:
    return LexicalVocabulary(tuple(words), torch.zeros(len(words), 2), "a test", "0" * 64, join)


@pytest.fixture(scope="module")
def learned() -> tuple[LexicalVocabulary, PlainTokenizer]:
    """The whole words of a byte-level tokenizer, taken from it as the project takes SmolLM2's."""
    tokenizer = byte_level(made_up_words(300))
    pieces = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    words = [pieces[i][1:] for i in whole_words(pieces)]
    assert len(words) > 200
    return vocabulary_of(words), PlainTokenizer(tokenizer)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whole_words_survive_with_one_token_each(
    learned: tuple[LexicalVocabulary, PlainTokenizer], data: st.DataObject
) -> None:
    vocabulary, text = learned
    ids = data.draw(st.lists(st.integers(0, len(vocabulary) - 1), min_size=1, max_size=12))
    _, same, tokens = round_trip.round_trip(vocabulary, text, ids)
    assert same and tokens == len(ids), "each whole word is one token of its own"


def test_every_word_is_tried_once(learned: tuple[LexicalVocabulary, PlainTokenizer]) -> None:
    vocabulary, text = learned
    found = measure(vocabulary, text)
    assert (found.round_trip_rate, found.tokens_per_word, found.lost) == (1.0, 1.0, ())
    assert found.strings == -(-len(vocabulary) // 5)
    assert measure(vocabulary, text, strings=3).strings == 3


def test_words_of_another_model_take_more_tokens(learned: tuple[LexicalVocabulary, PlainTokenizer]) -> None:
    _, text = learned
    found = measure(vocabulary_of(["lion", "Löwe", "ライオン", "tea-pot"]), text)
    assert found.round_trip_rate == 1.0, "a byte-level tokenizer loses nothing"
    assert found.tokens_per_word > 2


def test_folded_words_are_counted_and_named() -> None:
    folding = byte_level(["lion", "polish", "vase"])
    folding.normalizer = normalizers.Lowercase()
    words = ["lion", "Polish", "vase", "Turkey", "tea", "kiln", "oak", "elm", "fir", "ash"]
    found = measure(vocabulary_of(words), PlainTokenizer(folding))
    order = list(range(10))
    random.Random(0).shuffle(order)
    spoiled = [part for part in (order[:5], order[5:]) if {1, 3} & set(part)]
    assert found.round_trip_rate == 1 - len(spoiled) / 2 < 1
    assert len(found.lost) == len(spoiled)
    for shown, back in found.lost:
        assert shown != shown.lower() and back == f" {shown.lower()}"


def test_words_joined_without_a_space_are_lost() -> None:
    text = PlainTokenizer(byte_level(["lion", "vase"]))
    assert measure(vocabulary_of(["lion", "vase", "polar bear"]), text).round_trip_rate == 0.0


def test_dropped_first_space_is_a_loss() -> None:
    vocab = {"▁Input:": 0, "▁lion": 1, "▁vase": 2, "?": 3}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocab, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    found = measure(vocabulary_of(["lion", "vase"]), PlainTokenizer(tokenizer))
    assert (found.round_trip_rate, found.tokens_per_word) == (1.0, 1.0)
    unknown = measure(vocabulary_of(["lion", "truck"]), PlainTokenizer(tokenizer))
    assert unknown.round_trip_rate == 0.0


def test_model_without_a_text_tokenizer_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"default": "x"}')
    with pytest.raises(UsageError, match="has none: pass a local --llm"):
        measure_names(f"scripted:{script}", "smollm2")


def test_command_prints_the_measurement(
    learned: tuple[LexicalVocabulary, PlainTokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary, text = learned
    monkeypatch.setattr(round_trip, "measure_names", lambda llm, name, options: measure(vocabulary, text))
    printed = CliRunner().invoke(app, ["round-trip", "--json"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout)["round_trip_rate"] == 1.0
    assert "round_trip_rate 1.0000" in CliRunner().invoke(app, ["round-trip"]).stdout


@pytest.mark.slow
def test_smollm2_keeps_every_word_of_its_vocabulary() -> None:
    try:
        find_gguf()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    found = measure(open_vocabulary("smollm2"), PlainTokenizer.read(smollm2_source().folder()))
    assert (found.round_trip_rate, found.tokens_per_word) == (1.0, 1.0)
    assert found.strings > 4000


def test_a_server_tokenizes_for_itself_or_by_the_folder_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = made_up_words(40)
    vocabulary = vocabulary_of(words)
    monkeypatch.setattr(round_trip, "open_vocabulary", lambda name: vocabulary)
    tokenizer = byte_level(words)
    server = FaultServer()

    def extra(path: str, body: dict[str, Any]) -> Any:
        if path == "/tokenize":
            return {"tokens": tokenizer.encode(body["prompt"]).ids}
        return {"prompt": tokenizer.decode(body["tokens"])} if path == "/detokenize" else None

    server.behaviour.extra = extra
    asked = ["round-trip", "--llm", "openai:m", "--json", "--llm-args", f"base_url={server.url}"]
    (tmp_path / "folder").mkdir()
    tokenizer.save(str(tmp_path / "folder" / "tokenizer.json"))
    found = [
        CliRunner().invoke(app, [*asked, *more]) for more in ((), ("--llm-args", f"tokenizer={tmp_path / 'folder'}"))
    ]
    server.close()
    assert [one.exit_code for one in found] == [0, 0], found
    assert json.loads(found[0].stdout) == json.loads(found[1].stdout)
    assert json.loads(found[0].stdout)["round_trip_rate"] == 1.0
