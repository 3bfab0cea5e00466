"""Captions and questions of scenes, written by hand."""

from __future__ import annotations

import pytest

from spae.data.embedded.scene_layout import Box
from spae.data.embedded.scene_text import Thing, captions, questions, with_article


def test_captions_and_questions_by_hand() -> None:
    owl = Thing("owl", Box(0, 30, 30), "brown")
    lion, vase = Thing("lion", Box(2, 10, 25), None), Thing("vase", Box(36, 0, 28), "blue")
    crab = Thing("crab", Box(33, 36, 24), "red")
    assert captions([owl]) == (
        "An owl on a white background.",
        "A drawing of a brown owl.",
        "There is one owl in the picture.",
        "A brown owl at the bottom and on the left of the picture.",
        "The picture shows an owl and nothing else.",
    )
    assert captions([lion, vase])[1:4] == (
        "A lion to the left of a vase.",
        "There are two things in the picture, a lion and a vase.",
        "A lion on the left and a vase on the right of the picture.",
    )
    assert captions([lion, vase, crab])[3] == (
        "A lion at the top left, a vase at the top right and a crab at the bottom right of the picture."
    )
    assert questions([owl]) == (
        ("how-many", "How many things are there?", ("one", "1")),
        ("what", "What is this?", ("owl", "an owl")),
        ("side", "On which side is it?", ("left", "on the left")),
        ("colour", "What colour is it?", ("brown",)),
    )
    assert questions([lion, vase])[1:] == (
        ("what-left", "What is on the left?", ("lion", "a lion")),
        ("what-right", "What is on the right?", ("vase", "a vase")),
    )
    above = [Thing("ewe", Box(5, 2, 24), None), Thing("ant", Box(20, 38, 24), None)]
    assert [one[1:] for one in questions(above)[1:]] == [
        ("What is at the top?", ("ewe", "a ewe")),
        ("What is at the bottom?", ("ant", "an ant")),
    ]
    assert captions(above)[1] == "A ewe above an ant."
    assert len(questions([lion, vase, crab])) == 1


@pytest.mark.parametrize(
    ("name", "expected"), [("hourglass", "an hourglass"), ("unicorn", "a unicorn"), ("egg", "an egg")]
)
def test_articles(name: str, expected: str) -> None:
    assert with_article(name) == expected
