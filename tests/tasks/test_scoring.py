"""Scoring rules against tables worked out by hand."""

import math
import unicodedata

import pytest

from tasks.errors import TaskInputError
from tasks.scoring import RULES, line_of, normalise, rule, score_ranked, score_text


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (" lion\n###\nInput:", "lion"),
        ("\n lion", "lion"),
        ("\n\n\tlion \n\nx", "lion"),
        ("lion\r\nx", "lion"),
        ("king  crab", "king  crab"),
        ("", ""),
        (" \n\t\n", ""),
    ],
)
def test_line_of(reply, line):
    assert line_of(reply) == line


#   answer          reply                exact prefix contains
TABLE = [
    ("lion", "lion", 1, 1, 1),
    ("lion", " lion", 1, 1, 1),
    ("lion", " lion\n###\nInput: vase", 1, 1, 1),
    ("lion", "\nlion\n", 1, 1, 1),
    ("lion", "LION", 1, 1, 1),
    ("lion", "lion.", 0, 1, 1),
    ("lion", "'lion'", 0, 0, 1),
    ("lion", "a lion", 0, 0, 1),
    ("lion", "lions", 0, 1, 0),
    ("lion", "sea lion", 0, 0, 1),
    ("lion", "dandelion", 0, 0, 0),
    ("lion", "vase\nlion", 0, 0, 0),
    ("lion", "vase", 0, 0, 0),
    ("lion", "li", 0, 0, 0),
    ("lion", "lion or vase", 0, 1, 1),
    ("ant", "antelope", 0, 1, 0),
    ("ant", "an ant", 0, 0, 1),
    ("antelope", "ant", 0, 0, 0),
    ("ant", "ant_hill", 0, 1, 0),
    ("king crab", "king", 0, 0, 0),
    ("king crab", "King Crab", 1, 1, 1),
    ("king crab", "king\ncrab", 0, 0, 0),
    ("king crab", "king  crab", 0, 0, 0),
    ("c++ book", "a c++ book!", 0, 0, 1),
    ("African hunting dog", "african hunting dog", 1, 1, 1),
    ("Straße", "STRASSE", 1, 1, 1),
    ("vase", "vase, lion", 0, 1, 1),
    ("ant", "the ant.", 0, 0, 1),
    ("ant", "Ant,", 0, 1, 1),
    ("ant", "giant", 0, 0, 0),
    ("ant", "plants and ants", 0, 0, 0),
    ("ant", "ant\nelope", 1, 1, 1),
    ("ant", "\r\n\tANT\nInput:", 1, 1, 1),
    ("antelope", "An Antelope!", 0, 0, 1),
    ("antelope", "ant elope", 0, 0, 0),
    ("black-footed ferret", "black footed ferret", 0, 0, 0),
    ("black-footed ferret", "Black-Footed Ferret (weasel)", 0, 1, 1),
    ("ferret", "black-footed ferret", 0, 0, 1),
]


@pytest.mark.parametrize(("answer", "reply", "exact", "prefix", "contains"), TABLE)
def test_rules(answer, reply, exact, prefix, contains):
    for name, right in (("exact", exact), ("prefix", prefix), ("contains", contains)):
        outcome = score_text(rule(name).test, reply, answer, (answer, "zebra"))
        assert (name, outcome.status, outcome.scores) == (name, "scored", {"accuracy": float(right)})
        assert outcome.reply == reply
        assert outcome.prediction == reply.strip().split("\n")[0]


@pytest.mark.parametrize("name", ["exact", "prefix", "contains"])
@pytest.mark.parametrize("reply", ["", " ", "\n", "\n \t\n"])
def test_empty_is_not_wrong(name, reply):
    outcome = score_text(rule(name).test, reply, "lion", ("lion", "vase"))
    assert (outcome.status, outcome.scores, outcome.prediction, outcome.reply) == ("empty", {}, None, reply)


@pytest.mark.parametrize(
    ("name", "reply", "explanation"),
    [
        ("prefix", "antelope", "fits 2 classes: ant, antelope"),
        ("contains", "ant or antelope", "fits 2 classes: ant, antelope"),
        ("contains", "antelope", ""),
        ("exact", "antelope", ""),
    ],
)
def test_a_reply_that_fits_several_classes_says_so(name, reply, explanation):
    assert score_text(rule(name).test, reply, "ant", ("ant", "antelope")).explanation == explanation


@pytest.mark.parametrize(
    ("values", "answer", "winner", "value", "explanation"),
    [
        ((-3.0, -1.0, -2.0), "b", "b", 1.0, ""),
        ((-3.0, -1.0, -2.0), "a", "b", 0.0, ""),
        ((-1.0, -2.0, -1.0), "a", "a", 1.0, "tie of a, c: the first counts"),
        ((-1.0, -2.0, -1.0), "c", "a", 0.0, "tie of a, c: the first counts"),
        ((-2.0, -1.0, -1.0), "c", "b", 0.0, "tie of b, c: the first counts"),
        ((-math.inf, -90.0, -math.inf), "b", "b", 1.0, ""),
    ],
)
def test_ranked(values, answer, winner, value, explanation):
    outcome = score_ranked(values, answer, ("a", "b", "c"))
    assert (outcome.status, outcome.scores, outcome.explanation) == ("scored", {"accuracy": value}, explanation)
    assert outcome.prediction == outcome.reply == winner


@pytest.mark.parametrize(
    "values", [(-1.0,), (-1.0, -2.0, -3.0), (), (math.nan, -1.0), (-1.0, math.inf), (-math.inf, -math.inf)]
)
def test_values_that_are_no_log_likelihoods_fail(values):
    outcome = score_ranked(values, "a", ("a", "b"))
    assert (outcome.status, outcome.scores) == ("failed", {})
    assert "log-likelihoods" in outcome.explanation


def test_rule_table():
    assert list(RULES) == ["exact", "prefix", "contains", "normalised", "ranked"]
    assert [rule(name).asks for name in RULES] == ["completion"] * 4 + ["likelihood"]
    assert all(RULES[name].name == name for name in RULES)
    with pytest.raises(TaskInputError, match="did you mean 'ranked'"):
        rule("rank")


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
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


#   answer      line            exact normalised
NORMALISED = [
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


@pytest.mark.parametrize(("answer", "line", "exact", "normalised"), NORMALISED)
def test_normalised_rule(answer: str, line: str, exact: int, normalised: int) -> None:
    for name, expected in (("exact", exact), ("normalised", normalised)):
        test = rule(name).test
        assert test is not None and test(line, answer) == bool(expected), name


@pytest.mark.parametrize("name", [one for one in RULES if RULES[one].test])
@pytest.mark.parametrize(("answered", "replied"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode_forms_of_reply_and_answer_do_not_count(name: str, answered: str, replied: str) -> None:
    """macOS writes folder names in NFD, models reply in NFC."""
    answer = unicodedata.normalize(answered, "Café Ångström")
    reply = unicodedata.normalize(replied, "café ångström")
    assert answer.casefold() != reply
    assert score_text(RULES[name].test, reply, answer, (answer,)).scores == {"accuracy": 1.0}


def test_a_letter_is_no_prefix_of_its_accented_form() -> None:
    assert not RULES["prefix"].test(unicodedata.normalize("NFD", "caféteria"), "cafe")
