"""Classes left out by a list."""

from __future__ import annotations

import pytest

from spae.data.class_names import TEST_CLASSES, ClassText
from spae.data.exclusion import keep_classes, read_exclusions
from spae.errors import DataError

LABELS = ["n01440764", "n02129165", "n02012849", "n03126707"]
NAMES = ClassText(
    {"n01440764": "tench", "n02129165": "lion", "n02012849": "crane", "n03126707": "crane", "291": "lion"},
    {"n02129165": "291", "291": "n02129165"},
    "names.txt",
)


def kept(tmp_path, text: str):
    (tmp_path / "out.txt").write_text(text, encoding="utf-8")
    return keep_classes(LABELS, NAMES, tmp_path / "out.txt", "the set")


def test_nothing_left_out():
    found = keep_classes(LABELS, NAMES, None, "the set")
    assert found.texts == ("tench", "lion", "crane", "crane") and found.place.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("line", ["n02129165", "lion", "291", "# cats\n\n  lion  # the big one\r\n"])
def test_by_label_name_or_other_id(tmp_path, line):
    found = kept(tmp_path, line)
    assert found.texts == ("tench", "crane", "crane") and found.place.tolist() == [0, -1, 1, 2]


def test_a_name_of_two_classes_leaves_out_both(tmp_path):
    assert kept(tmp_path, "crane").place.tolist() == [0, 1, -1, -1]


def test_a_line_that_is_no_class_names_the_near_miss(tmp_path):
    with pytest.raises(DataError, match=r"out\.txt line 2 leaves out 'n02129166', .*did you mean 'n02129165'\?"):
        kept(tmp_path, "tench\nn02129166")
    with pytest.raises(DataError, match=r"'zzz', which is no class of the set: correct it"):
        kept(tmp_path, "zzz")


def test_one_class_must_stay(tmp_path):
    with pytest.raises(DataError, match="leaves no class to train on, of 4"):
        kept(tmp_path, "tench\nlion\ncrane")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"caf\xe9"])
def test_lists_that_say_nothing(tmp_path, content):
    (tmp_path / "out.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"out\.txt"):
        read_exclusions(tmp_path / "out.txt")


def test_missing_list(tmp_path):
    with pytest.raises(DataError, match=r"gone\.txt"):
        read_exclusions(tmp_path / "gone.txt")


def test_unnamed_are_counted_among_those_that_stay(tmp_path):
    (tmp_path / "out.txt").write_text("7")
    assert keep_classes(["7", "8", "rose"], ClassText(), None, "x").unnamed == 2
    assert keep_classes(["7", "8", "rose"], ClassText(), tmp_path / "out.txt", "x").unnamed == 1


def test_the_list_of_this_package(tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    assert {name for _, name in read_exclusions(Path("mini-imagenet-test"))} == set(TEST_CLASSES)
