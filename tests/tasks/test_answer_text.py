"""One spelling of answers, and the rule made of it, against tables worked out by hand."""

from __future__ import annotations

import pytest

from tasks.answer_text import one_spelling
from tasks.scoring import rule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red apple.", "red apple"),
        ("  The  FORK ", "fork"),
        ("two", "2"),
        ("None", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("1,000 dogs", "1000 dogs"),
        ("1,2", "1 2"),
        ("3.5 m", "3.5 m"),
        ("plate.", "plate"),
        ("left-hand", "left hand"),
        ("on_the_left", "on left"),
        ("don't", "don't"),
        ("don’t", "don't"),
        ("'fork'", "fork"),
        ("dogs' bowl", "dogs bowl"),
        ("yes!", "yes"),
        ("a", "a"),
        ("The", "the"),
        ("an ant", "ant"),
        ("antelope", "antelope"),
        ("Straße", "strasse"),
        ("...", ""),
    ],
)
def test_one_spelling(text: str, expected: str) -> None:
    assert one_spelling(text) == expected


#   answer      line            exact normalised
TABLE = [
    ("plate", "plate", 1, 1),
    ("plate", "Plate.", 0, 1),
    ("plate", "a plate", 0, 1),
    ("plate", "the plate!", 0, 1),
    ("plate", "plates", 0, 0),
    ("plate", "plate and fork", 0, 0),
    ("two", "2", 0, 1),
    ("2", "Two", 0, 1),
    ("two", "twofold", 0, 0),
    ("ant", "antelope", 0, 0),
    ("ant", "an ant", 0, 1),
    ("yes", "yes, it is", 0, 0),
    ("plate", "...", 0, 0),
]


@pytest.mark.parametrize(("answer", "line", "exact", "normalised"), TABLE)
def test_rules(answer: str, line: str, exact: int, normalised: int) -> None:
    for name, expected in (("exact", exact), ("normalised", normalised)):
        test = rule(name).test
        assert test is not None and test(line, answer) == bool(expected), name
