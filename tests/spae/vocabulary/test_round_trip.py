"""The round trip's rate, on tokenizers made for it."""

from __future__ import annotations

import pytest

from spae.errors import InputError
from spae.vocabulary.round_trip import round_trip_rate

WORDS = ("sun", "moon", "star", "mars")


def by_words(text: str) -> list[int]:
    """A tokenizer with one token for each word behind a space; anything else is 99."""
    return [WORDS.index(word) if word in WORDS else 99 for word in text.split(" ")]


def test_all_words_of_such_a_tokenizer_pass_the_round_trip():
    assert round_trip_rate(WORDS, range(4), by_words) == 1.0


def test_words_split_into_several_tokens_fail_the_round_trip():
    def apart(text: str) -> list[int]:
        return [token for token in by_words(text) for token in ([50, 51] if token == 1 else [token])]

    assert round_trip_rate(WORDS, range(4), apart) == 0.75


def test_words_merged_with_their_neighbour_fail_the_round_trip():
    def swallow(text: str) -> list[int]:
        tokens, merged = by_words(text), []
        while tokens:
            one = tokens.pop(0)
            merged.append(one + 1000 if one == 2 and tokens else one)
            if merged[-1] >= 1000:
                tokens.pop(0)
        return merged

    assert round_trip_rate(WORDS, range(4), swallow) <= 0.75


def test_other_ids_fail_the_round_trip():
    assert round_trip_rate(WORDS, [1, 2, 3, 0], by_words) == 0.0


def test_the_rate_is_the_same_every_time():
    asked: list[list[str]] = [[], []]
    for texts in asked:
        round_trip_rate(WORDS, range(4), lambda text, texts=texts: texts.append(text) or by_words(text))
    assert asked[0] == asked[1] and len({text for text in asked[0] if text.count(" ") == 3}) == 4


def test_no_words_are_refused():
    with pytest.raises(InputError, match="needs words"):
        round_trip_rate((), (), by_words)
