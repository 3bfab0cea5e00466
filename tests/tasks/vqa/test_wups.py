"""WUPS by hand: a small taxonomy in WordNet's true file format, its similarities worked out on paper.

entity (depth 1) -> animal (2) -> cat, dog (3)
                               -> bear (3); bear also: entity -> investor (2) -> bear (3)
                 -> vehicle (2) -> bus, fire_hydrant (3)
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from spae.metrics.wups import wups
from tasks.protocol import Answered
from tasks.vqa.wups import VARIABLE, open_wordnet, wups_scores

TREE = {
    "entity": ("entity", None), "animal": ("animal", "entity"), "vehicle": ("vehicle", "entity"),
    "investor": ("investor", "entity"), "cat": ("cat", "animal"), "dog": ("dog", "animal"),
    "bear1": ("bear", "animal"), "bear2": ("bear", "investor"), "bus": ("bus", "vehicle"),
    "hydrant": ("fire_hydrant", "vehicle"),
}  # fmt: skip
LICENCE = "  1 This is a taxonomy made up for tests, WordNet 3.0 in its form.\n"


def write_wordnet(home: Path) -> Path:
    """data.noun with its byte offsets and index.noun; of other parts of speech, empty files."""
    home.mkdir()
    line = "{at} 03 n 01 {word} 0 {pointers} | a gloss\n"
    places, at = {}, len(LICENCE)
    for key, (word, parent) in TREE.items():
        places[key] = at
        pointers = "000" if parent is None else "001 @ 00000000 n 0000"
        at += len(line.format(at="00000000", word=word, pointers=pointers))
    text = LICENCE
    for key, (word, parent) in TREE.items():
        pointers = "000" if parent is None else f"001 @ {places[parent]:08d} n 0000"
        text += line.format(at=f"{places[key]:08d}", word=word, pointers=pointers)
    (home / "data.noun").write_text(text)
    senses: dict[str, list[int]] = {}
    for key, (word, _) in TREE.items():
        senses.setdefault(word, []).append(places[key])
    index = [
        f"{word} n {len(found)} 1 @ {len(found)} 0 {' '.join(f'{one:08d}' for one in found)}  \n"
        for word, found in sorted(senses.items())
    ]
    (home / "index.noun").write_text(LICENCE + "".join(index))
    (home / "noun.exc").write_text("beasties animal\n")
    for part in ("adj", "adv", "verb"):
        for name in (f"data.{part}", f"index.{part}", f"{part}.exc"):
            (home / name).write_text("")
    (home / "lexnames").write_text("".join(f"{i}\tnoun.{i}\t1\n" for i in range(45)))
    return home


@pytest.fixture
def wordnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(write_wordnet(tmp_path / "wordnet")))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("cat", "dog", 2 * 2 / (3 + 3)),  # animal over both
        ("cat", "bus", 2 * 1 / (3 + 3)),  # only entity over both
        ("cat", "animal", 2 * 2 / (3 + 2)),
        ("bear", "investor", 2 * 2 / (3 + 2)),  # the sense that is nearer
        ("bear", "cat", 2 * 2 / (3 + 3)),
        ("Cat", "cat", 1.0),
        ("dogs", "cat", 2 * 2 / (3 + 3)),  # the plural of a noun
        ("beasties", "cat", 2 * 2 / (2 + 3)),  # an irregular one
        ("fire hydrant", "bus", 2 * 2 / (3 + 3)),
        ("two", "two", 1.0),  # equal words need no WordNet
        ("two", "cat", 0.0),
        ("a cat", "cat", 0.0),
    ],
)
def test_similarity_by_hand(wordnet: None, first: str, second: str, expected: float) -> None:
    found, reason = open_wordnet()
    assert found is not None, reason
    with closing(found):
        assert found.similarity(first, second) == pytest.approx(expected)
        assert found.similarity(second, first) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("similarity", "threshold", "expected"), [(0.95, 0.9, 0.95), (0.9, 0.9, 0.9), (0.8, 0.9, 0.08), (0.8, 0.0, 0.8)]
)
def test_below_the_threshold_a_tenth_counts(similarity: float, threshold: float, expected: float) -> None:
    assert wups(similarity, threshold) == pytest.approx(expected)


def test_scores_of_a_group_by_hand(wordnet: None) -> None:
    group = [Answered("cat", ("cat",)), Answered("dog", ("cat",)), Answered("bus", ("cat", "vehicle")),
             Answered("qwerty", ("cat",))]  # fmt: skip
    [[strict, loose]] = wups_scores([group])
    assert (strict.metric, loose.metric) == ("WUPS@0.9", "WUPS@0.0")
    assert loose.per_sample == pytest.approx((1, 2 / 3, 0.8, 0))
    assert strict.value == pytest.approx((1 + 2 / 30 + 0.08 + 0) / 4)


def broken(home: Path) -> Path:
    path = write_wordnet(home / "wordnet") / "data.noun"
    path.write_text(path.read_text().replace(" 01 ", " 0z "))
    return path.parent


def other(home: Path) -> Path:
    path = write_wordnet(home / "wordnet") / "index.noun"
    path.write_text("cat n 1 1 @ 1 0 00000007  \n")
    return path.parent


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        pytest.param(lambda home: home / "missing", "must be a folder", id="no-folder"),
        pytest.param(broken, "data.noun is not in WordNet's format", id="no-number"),
        pytest.param(other, "index.noun must name synsets of data.noun", id="of-two-versions"),
    ],
)
def test_without_wordnet_it_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare, said) -> None:
    monkeypatch.setenv(VARIABLE, str(prepare(tmp_path)))
    [[strict, loose]] = wups_scores([[Answered("cat", ("dog",))]])
    assert strict.value is None and loose.value is None and said in strict.unavailable


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    [[strict, _]] = wups_scores([[Answered("cat", ("dog",))]])
    assert VARIABLE in strict.unavailable
