"""Prompts against texts typed by hand in `golden/` (each file has one line break more than its prompt)."""

from pathlib import Path

import pytest

from tasks.errors import TaskInputError
from tasks.fewshot.prompts import MAX_NEW_TOKENS, classification

GOLDEN = Path(__file__).parent / "golden"
TWO = ("lion", "vase")
FIVE = ("ant", "king crab", "crate", "dog's bowl", "trifle")
TEXTS = {"l1": "mane cat fur", "v1": "jar clay pot", "q": "paw tiger cat"}


@pytest.mark.parametrize("style", ["gpt", "palm"])
@pytest.mark.parametrize("setting", ["i0-s1-r0", "i1-s1-r0", "i1-s1-r1"])
def test_two_way(make_episode, style, setting):
    golden = (GOLDEN / f"{style}-2way-{setting}.txt").read_bytes().decode()
    assert classification(make_episode(TWO, setting, 1), TEXTS, style) + "\n" == golden


@pytest.mark.parametrize(
    ("style", "setting", "shots"), [("gpt", "i1-s3-r0", 3), ("palm", "i1-s3-r0", 3), ("palm", "i1-s1-r0", 1)]
)
def test_five_way(make_episode, style, setting, shots):
    episode = make_episode(FIVE, setting, shots)
    # "crate" and "king crab" start with other letters than the rest, so ids are unique: a1, k1, c1, d1, t1, ...
    golden = (GOLDEN / f"{style}-5way-{setting}.txt").read_bytes().decode()
    assert classification(episode, {image: image for image in episode.images}, style) + "\n" == golden


@pytest.mark.parametrize(
    ("classes", "setting", "shots", "asked"),
    [
        (FIVE, "i0-s1-r0", 1, False),
        (FIVE, "i1-s1-r5", 1, False),
        (FIVE, "i1-s3-r0", 3, True),
        (FIVE, "i1-s5-r0", 5, True),
        (TWO, "i1-s3-r0", 3, False),
        (TWO, "i1-s5-r0", 5, False),
    ],
)
def test_where_palm_asks_what_this_is(make_episode, classes, setting, shots, asked):
    episode = make_episode(classes, setting, shots)
    prompt = classification(episode, dict.fromkeys(episode.images, "x"), "palm")
    assert prompt.count("What is this?") == asked


@pytest.mark.parametrize(("setting", "blocks"), [("i1-s1-r0", 1), ("i1-s1-r1", 2), ("i1-s1-r3", 4), ("i1-s1-r5", 6)])
@pytest.mark.parametrize("style", ["gpt", "palm"])
def test_repeats_show_the_block_once_more_each(make_episode, style, setting, blocks):
    prompt = classification(make_episode(TWO, setting, 1), TEXTS, style)
    assert prompt.count("mane cat fur") == prompt.count("jar clay pot") == blocks
    assert prompt.count("paw tiger cat") == 1


@pytest.mark.parametrize(
    ("names", "printed"),
    [
        (("it's", "vase"), """["it's", 'vase']"""),
        (('5" disk', "vase"), """['5" disk', 'vase']"""),
        (("""a'b"c""", "vase"), """['a\\'b"c', 'vase']"""),
        (("crêpe", "vase"), "['crêpe', 'vase']"),
    ],
)
def test_gpt_list_is_pythons(make_episode, names, printed):
    episode = make_episode(names, "i1-s1-r0", 1)
    first = classification(episode, dict.fromkeys(episode.images, "x"), "gpt").split("\n")[0]
    assert first == f"For each of the following input output pairs, output is one of {printed}"


@pytest.mark.parametrize("text", ["a\nb", "a\n", "\na", "a\rb", "a\r\n", "a\u2028b", "a\x85b", "a\x0bb"])
def test_line_breaks_are_refused(make_episode, text):
    with pytest.raises(TaskInputError, match="line breaks, 'v1' has"):
        classification(make_episode(TWO, "i1-s1-r0", 1), {**TEXTS, "v1": text}, "gpt")


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_text_is_refused(make_episode, text):
    with pytest.raises(TaskInputError, match="must not be empty, 'q'"):
        classification(make_episode(TWO, "i1-s1-r0", 1), {**TEXTS, "q": text}, "gpt")


def test_missing_text_is_refused(make_episode):
    with pytest.raises(TaskInputError, match="'q' has none"):
        classification(make_episode(TWO, "i1-s1-r0", 1), {"l1": "a", "v1": "b"}, "palm")


def test_unknown_style_is_refused(make_episode):
    with pytest.raises(TaskInputError, match="gpt, palm, got 'chat'"):
        classification(make_episode(TWO, "i1-s1-r0", 1), TEXTS, "chat")


def test_lengths_of_replies():
    assert MAX_NEW_TOKENS == {"gpt": 7, "palm": 4}
