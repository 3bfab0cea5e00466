"""What stays of a vocabulary: by frequency, letters, script and block list."""

from __future__ import annotations

import hashlib

import pytest

from spae.errors import InputError
from spae.vocabulary import WordFilter, blocked_words, read_block_list
from spae.vocabulary.filters import BLOCK_LIST

WORDS = dict(
    enumerate(
        ["the", "Lion", "café", "река", "of", "lion's", "2024", "lions", "naïve", "獅子", "lionря", "λόγος", "ßen"]
    )
)


def kept(**options) -> list[str]:
    return [WORDS[i] for i in WordFilter(blocked=frozenset(), **options).keep(WORDS)]


def test_by_default_whole_lower_case_latin_words():
    assert kept() == ["the", "café", "lions", "naïve", "ßen"]


def test_whole_words_or_all():
    everything = kept(whole_words=False, scripts=None)
    assert everything == list(WORDS.values())
    assert kept(whole_words=False) == ["the", "Lion", "café", "of", "lion's", "2024", "lions", "naïve", "ßen"]
    assert kept(least_letters=2) == ["the", "café", "of", "lions", "naïve", "ßen"]
    assert kept(least_letters=5) == ["lions", "naïve"]


@pytest.mark.parametrize(
    ("scripts", "expected"),
    [
        (("Cyrillic",), ["река"]),
        (("Greek",), ["λόγος"]),
        (("Han",), ["獅子"]),
        (("Latin", "Cyrillic"), ["the", "café", "река", "of", "lions", "naïve", "lionря", "ßen"]),
        (None, ["the", "café", "река", "of", "lions", "naïve", "獅子", "lionря", "λόγος", "ßen"]),
    ],
)
def test_every_letter_is_of_a_script_asked_for(scripts, expected):
    assert kept(scripts=scripts, least_letters=2) == expected


def test_marks_are_part_of_their_letter():
    decomposed = {0: "cafe\u0301", 1: "ne\u0301", 2: "हिन्दी"}
    assert WordFilter(least_letters=3, scripts=None, blocked=frozenset()).keep(decomposed) == [0, 2]
    assert WordFilter(least_letters=2, scripts=("Devanagari",), blocked=frozenset()).keep(decomposed) == [2]


def test_the_most_frequent_are_the_first_ids_of_what_is_left():
    assert kept(most_frequent=2) == ["the", "café"]
    shuffled = {9: "ant", 2: "bee", 5: "cat", 1: "of"}
    assert WordFilter(most_frequent=2, blocked=frozenset()).keep(shuffled) == [2, 5]
    assert kept(most_frequent=99) == kept()


def test_blocked_words_are_left_out_whole_and_in_any_case():
    blocked = WordFilter(blocked=frozenset({"lion", "the", "strasse"}), whole_words=False)
    words = {0: "The", 1: "lion", 2: "lions", 3: "LION", 4: "Straße"}
    assert blocked.keep(words) == [2], "words, not parts of words"


def test_the_packaged_block_list():
    words = blocked_words()
    assert len(words) == 275 and all(word.isalpha() and word == word.casefold() for word in words)
    assert "source" in BLOCK_LIST.read_text("utf-8").casefold()
    assert WordFilter().blocked == words
    assert not words & {"lion", "dog", "kitchen", "scunthorpe", "analysis", "class"}


def test_a_list_from_a_file(tmp_path):
    (tmp_path / "list.txt").write_text("# names\n\nLion\n  the  \nÉTÉ\n", encoding="utf-8")
    assert read_block_list(tmp_path / "list.txt") == {"lion", "the", "été"}
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InputError, match="a block list is a text file"):
            read_block_list(path)


def test_a_filter_describes_itself():
    described = WordFilter(most_frequent=7, scripts=("Latin",), blocked=frozenset({"b", "a"})).describe()
    assert described == {
        "most_frequent": 7,
        "whole_words": True,
        "least_letters": 3,
        "scripts": ["Latin"],
        "blocked_words": 2,
        "blocked_sha256": hashlib.sha256(b"a\nb").hexdigest(),
    }


def test_impossible_filters_are_refused():
    for options, said in (
        ({"most_frequent": 0}, "most_frequent must be 1 or more, got 0"),
        ({"least_letters": 0}, "least_letters must be 1 or more, got 0"),
        ({"scripts": ("Klingon",)}, "as Unicode names them"),
        ({"scripts": ()}, "got none"),
    ):
        with pytest.raises(InputError, match=said):
            WordFilter(**options)
    with pytest.raises(InputError, match="no word is left of 1"):
        WordFilter().keep({0: "of"})
