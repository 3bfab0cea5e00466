"""The seven settings and what is refused."""

import pytest

from tasks.errors import TaskInputError
from tasks.settings import SETTING_IDS, Setting, parse_settings


@pytest.mark.parametrize(
    ("text", "induction", "shots", "repeats"),
    [
        ("i0-s1-r0", False, 1, 0),
        ("i1-s1-r0", True, 1, 0),
        ("i1-s3-r0", True, 3, 0),
        ("i1-s5-r0", True, 5, 0),
        ("i1-s1-r1", True, 1, 1),
        ("i1-s1-r3", True, 1, 3),
        ("i1-s1-r5", True, 1, 5),
    ],
)
def test_the_seven_settings(text, induction, shots, repeats):
    assert text in SETTING_IDS
    assert Setting.parse(text) == Setting(induction, shots, repeats)
    assert Setting.parse(text).id == text


def test_there_are_seven():
    assert len(set(SETTING_IDS)) == len(SETTING_IDS) == 7


@pytest.mark.parametrize(
    "text", ["", "i1-s2-r0", "i2-s1-r0", "i1-s1", "I1-S1-R0", "i1-s1-r0 ", "i1-s01-r0", "i1-s1-r0\n", "average"]
)
def test_other_settings_are_refused(text):
    with pytest.raises(TaskInputError, match="unknown setting"):
        Setting.parse(text)


def test_near_miss_is_named():
    with pytest.raises(TaskInputError, match="did you mean 'i1-s3-r0'"):
        Setting.parse("i1s3r0")


def test_lists():
    assert [setting.id for setting in parse_settings(["i1-s5-r0", "i0-s1-r0"])] == ["i1-s5-r0", "i0-s1-r0"]
    with pytest.raises(TaskInputError, match="named once"):
        parse_settings(["i0-s1-r0", "i0-s1-r0"])
    with pytest.raises(TaskInputError, match="at least one"):
        parse_settings([])
    with pytest.raises(TaskInputError, match="a list"):
        parse_settings("i0-s1-r0")
