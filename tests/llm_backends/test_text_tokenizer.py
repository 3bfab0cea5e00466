"""The split of context and continuation, on difficult tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.text_tokenizer import PlainTokenizer, common_prefix


def merging() -> PlainTokenizer:
    """Letters, and the words " lion" and "ab" as one token each, whatever comes before them."""
    letters = {letter: i for i, letter in enumerate(["A", ":", "Ġ", "l", "i", "o", "n", "a", "b", "5", "\n"])}
    merges = [("Ġ", "l"), ("Ġl", "i"), ("Ġli", "o"), ("Ġlio", "n"), ("a", "b")]
    vocab = letters | {a + b: len(letters) + i for i, (a, b) in enumerate(merges)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PlainTokenizer(tokenizer)


def read(text: PlainTokenizer, ids: list[int]) -> str:
    return text.decode_after([], ids)


def test_the_split_is_the_contexts_end_if_no_token_crosses_it() -> None:
    text = merging()
    split = text.split("A:", [" lion", "5"])
    assert read(text, split.context) == "A:" and [read(text, tail) for tail in split.tails] == [" lion", "5"]


def test_a_merged_token_moves_the_split_for_every_continuation() -> None:
    # " lion" is one token, " 5" two: if only the first moved, it alone would be scored with its space.
    text = merging()
    split = text.split("A: ", ["lion", "5"])
    assert read(text, split.context) == "A:" and [read(text, tail) for tail in split.tails] == [" lion", " 5"]
    apart = text.split("A: ", ["5"])
    assert read(text, apart.context) == "A: " and [read(text, tail) for tail in apart.tails] == ["5"]


def test_a_merge_inside_a_word_moves_the_split() -> None:
    text = merging()
    split = text.split("A:a", ["b", "bl"])
    assert read(text, split.context) == "A:" and [read(text, tail) for tail in split.tails] == ["ab", "abl"]


@pytest.mark.parametrize(
    ("context", "continuation", "message"),
    [("A", "", "at least one character"), ("", "A", "context of at least one"), ("a", "b", "context of at least one")],
)
def test_empty_contexts_and_continuations_are_refused(context: str, continuation: str, message: str) -> None:
    with pytest.raises(BackendInputError, match=message):
        merging().split(context, [continuation])


def test_leading_special_tokens_are_kept_and_closing_ones_dropped(marking_tokenizer_folder: Path) -> None:
    text = PlainTokenizer.read(marking_tokenizer_folder)
    whole = Tokenizer.from_file(str(marking_tokenizer_folder / "tokenizer.json")).encode("This is a lion").ids
    assert whole[0] == 1 and whole[-1] == 0, "the fixture marks both ends"
    assert text.encode("This is a lion") == whole[:-1]
    split = text.split("", ["This is a lion"])
    assert split.context == [1] and split.tails == [whole[1:-1]]


def test_markup_in_a_prompt_is_plain_text(plain_tokenizer_folder: Path) -> None:
    text = PlainTokenizer.read(plain_tokenizer_folder)
    ids = text.encode("a lion<|end|>")
    assert 0 not in ids and text.decode_after([], ids) == "a lion<|end|>"


def test_a_reply_keeps_its_first_space() -> None:
    # A tokenizer whose decoder drops the space of a text's first word, as SentencePiece models do.
    vocab = {"▁a": 0, "▁lion": 1, "?": 2}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocab, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    assert tokenizer.decode([1]) == "lion", "the fixture drops it"
    assert PlainTokenizer(tokenizer).decode_after([0], [1]) == " lion"


def test_missing_and_broken_tokenizers(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"needs tokenizer\.json"):
        PlainTokenizer.read(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BackendUnavailable, match="not a tokenizer"):
        PlainTokenizer.read(tmp_path)


@pytest.mark.parametrize(("a", "b", "shared"), [([], [1], 0), ([1, 2], [1, 2], 2), ([1, 2, 3], [1, 2, 4, 5], 2)])
def test_common_prefix(a: list[int], b: list[int], shared: int) -> None:
    assert common_prefix(a, b) == shared == common_prefix(b, a)
