"""From pieces to words, in both ways that tokenizers show them."""

from __future__ import annotations

import pytest
from tokenizers import pre_tokenizers

from spae.errors import InputError
from spae.vocabulary import whole_words
from spae.vocabulary.pieces import _BYTES, behind_a_space, words_of_pieces


def test_whole_words_are_a_space_and_three_lower_case_letters_or_more():
    pieces = ["Ġlion", "lion", "ĠLion", "Ġof", "Ġthe", "Ġcat7", "Ġ", "", "Ġcafé", "Ġcan't", "ĠĠcat", "Ġsun\n", "Ġabc"]
    assert whole_words(pieces) == [0, 4, 12]


def byte_level(text: str) -> str:
    """As the tokenizers package shows it."""
    ((piece, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return piece


@pytest.mark.parametrize("text", [" lion", " café", " река", " 7", " →", " Lion's", " 獅子", " \u00ad", "in"])
def test_byte_level_pieces_are_read_as_they_are_written(text):
    found = words_of_pieces([byte_level(" x"), byte_level(text)])
    printable = text.startswith(" ") and text[1:].isprintable()
    assert found == {0: "x"} | ({1: text[1:]} if printable else {})


def test_the_letters_of_all_bytes_are_gpt_2_s():
    assert set(_BYTES) == set(pre_tokenizers.ByteLevel.alphabet()) and sorted(_BYTES.values()) == list(range(256))


def test_pieces_that_are_not_words_are_left_out():
    half = byte_level(" é")[:-1]  # a part of a character
    pieces = ["<|end|>", "Ġ", "ĠĠ", half, "lion", "Ġlion", "ĠaĠb", "Ġa\u0100", "Ġne\u010a", "Ġok"]
    assert words_of_pieces(pieces) == {5: "lion", 9: "ok"}


def test_sentencepiece_pieces():
    pieces = ["<s>", "<0x20>", "▁", "▁lion", "lion", "▁▁cat", "▁река", "▁new▁moon", "▁獅子", ""]
    assert words_of_pieces(pieces) == {3: "lion", 6: "река", 8: "獅子"}


def test_each_word_has_its_first_id():
    assert behind_a_space({3: " lion", 1: " cat", 9: " lion"}) == {3: "lion", 1: "cat"}


def test_pieces_without_spaces_are_refused():
    with pytest.raises(InputError, match="none of 2 does"):
        words_of_pieces(["lion", "##ess"])
