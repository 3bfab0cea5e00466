"""Names of classes from files in their usual forms, and classes left out of training."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from spae.data.class_names import (
    TEST_CLASSES,
    ClassText,
    find_class_text,
    keep_classes,
    read_class_text,
    read_exclusions,
)
from spae.errors import DataError
from spae.training.recipes import get_recipe

TENCH, CRANE = "n01440764", "n02012849"


def written(folder, name: str, content: str | bytes):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("LOC_synset_mapping.txt", f"{TENCH} tench, Tinca tinca\n{CRANE} crane\n", id="kaggle"),
        pytest.param("words.txt", f"{TENCH}\ttench, Tinca tinca\r\n{CRANE}\tcrane\r\n", id="wordnet"),
        pytest.param("classes.txt", f"\ufeff{TENCH}  tench\n\n{CRANE} crane", id="own"),
        pytest.param(
            "imagenet_class_index.json", json.dumps({"0": [TENCH, "tench"], "134": [CRANE, "crane"]}), id="index"
        ),
    ],
)
def test_forms(tmp_path, name, content):
    found = read_class_text(written(tmp_path, name, content))
    assert found.texts([CRANE, TENCH]) == (("crane", "tench"), 0)


def test_the_index_knows_numbers_and_ids(tmp_path):
    found = read_class_text(written(tmp_path, "a.json", json.dumps({"0": [TENCH, "great_white_shark"]})))
    assert found.text("0") == found.text(TENCH) == "great white shark"
    assert found.other_ids == {"0": TENCH, TENCH: "0"}


def test_lists_of_names(tmp_path):
    assert read_class_text(written(tmp_path, "a.json", '["tench", "goldfish"]')).text("1") == "goldfish"
    assert read_class_text(written(tmp_path, "b.json", '{"x": "tench"}')).text("x") == "tench"


def test_own_names_keep_their_commas(tmp_path):
    assert read_class_text(written(tmp_path, "classes.txt", "r1 rose, red")).text("r1") == "rose, red"


def test_without_a_file_folder_names_are_names_and_ids_are_counted():
    plain = ClassText()
    assert plain.texts(["sea_lavender", "rose"]) == (("sea lavender", "rose"), 0)
    assert plain.texts(["7", "n02129165", TENCH]) == (("7", "lion", TENCH), 2)  # lion is a class of mini-ImageNet


def test_file_of_names_must_name_every_class(tmp_path):
    found = read_class_text(written(tmp_path, "words.txt", f"{TENCH}\ttench"))
    with pytest.raises(DataError, match=rf"words\.txt names no class '{CRANE}' \(1 of 2 are missing\)"):
        found.texts([TENCH, CRANE])


def test_found_beside_and_named(tmp_path):
    near, far = tmp_path / "near", tmp_path / "far"
    near.mkdir(), far.mkdir()
    written(far, "words.txt", f"{TENCH} far")
    assert find_class_text(None, (near, far)).text(TENCH) == "far"
    written(near, "classes.txt", f"{TENCH} near")
    assert find_class_text(None, (near, far)).text(TENCH) == "near"
    assert find_class_text(far / "words.txt", (near,)).text(TENCH) == "far"
    assert find_class_text(None, ()).names == {}
    with pytest.raises(DataError, match=r"classes=.*gone\.txt is no file"):
        find_class_text(tmp_path / "gone.txt", ())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.txt", "n01440764", id="no-name"),
        pytest.param("a.txt", "a x\na y", id="twice"),
        pytest.param("a.txt", "\n \n", id="empty"),
        pytest.param("a.txt", b"a caf\xe9", id="latin-1"),
        pytest.param("a.txt", "a x\x1b[31m", id="escape"),
        pytest.param("a.json", "{", id="no-json"),
        pytest.param("a.json", "[" * 100_000, id="deep-json"),
        pytest.param("a.json", "3", id="number"),
        pytest.param("a.json", "{}", id="no-class"),
        pytest.param("a.json", '{"0": ["n01440764"]}', id="short"),
        pytest.param("a.json", '{"0": ["n01440764", 3]}', id="no-text"),
    ],
)
def test_broken_files_of_names_are_refused(tmp_path, name, content):
    with pytest.raises(DataError) as caught:
        read_class_text(written(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_labels_that_cannot_be_printed():
    with pytest.raises(DataError, match="printable"):
        ClassText().texts(["a\nb"])


def test_twenty_wordnet_ids_with_one_name_each():
    assert len(TEST_CLASSES) == len(set(TEST_CLASSES.values())) == 20
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in TEST_CLASSES)
    # Three that the paper's figures show.
    assert (TEST_CLASSES["n02129165"], TEST_CLASSES["n04522168"]) == ("lion", "vase")
    assert TEST_CLASSES["n02443484"] == "black-footed ferret"


LABELS = ["n01440764", "n02129165", "n02012849", "n03126707"]
NAMES = ClassText(
    {"n01440764": "tench", "n02129165": "lion", "n02012849": "crane", "n03126707": "crane", "291": "lion"},
    {"n02129165": "291", "291": "n02129165"},
    "names.txt",
)


def kept(tmp_path, text: str):
    (tmp_path / "out.txt").write_text(text, encoding="utf-8")
    return keep_classes(LABELS, NAMES, tmp_path / "out.txt", "the set")


def test_all_classes_stay_without_a_list():
    found = keep_classes(LABELS, NAMES, None, "the set")
    assert found.texts == ("tench", "lion", "crane", "crane") and found.place.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("line", ["n02129165", "lion", "291", "# cats\n\n  lion  # the big one\r\n"])
def test_by_label_name_or_other_id(tmp_path, line):
    found = kept(tmp_path, line)
    assert found.texts == ("tench", "crane", "crane") and found.place.tolist() == [0, -1, 1, 2]


def test_a_name_of_two_classes_leaves_out_both(tmp_path):
    assert kept(tmp_path, "crane").place.tolist() == [0, 1, -1, -1]


def test_unknown_class_names_the_near_miss(tmp_path):
    with pytest.raises(DataError, match=r"out\.txt line 2 leaves out 'n02129166', .*did you mean 'n02129165'\?"):
        kept(tmp_path, "tench\nn02129166")
    with pytest.raises(DataError, match=r"'zzz', which is no class of the set: correct it"):
        kept(tmp_path, "zzz")


def test_one_class_must_stay(tmp_path):
    with pytest.raises(DataError, match="leaves no class to train on, of 4"):
        kept(tmp_path, "tench\nlion\ncrane")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"caf\xe9"])
def test_empty_exclusion_lists_are_refused(tmp_path, content):
    (tmp_path / "out.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"out\.txt"):
        read_exclusions(tmp_path / "out.txt")


def test_missing_exclusion_list(tmp_path):
    with pytest.raises(DataError, match=r"gone\.txt"):
        read_exclusions(tmp_path / "gone.txt")


def test_unnamed_are_counted_among_those_that_stay(tmp_path):
    (tmp_path / "out.txt").write_text("7")
    assert keep_classes(["7", "8", "rose"], ClassText(), None, "x").unnamed == 2
    assert keep_classes(["7", "8", "rose"], ClassText(), tmp_path / "out.txt", "x").unnamed == 1


def test_the_list_of_this_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {name for _, name in read_exclusions(Path("mini-imagenet-test"))} == set(TEST_CLASSES)


def test_the_disjoint_recipe_leaves_out_the_twenty_test_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [name for _, name in read_exclusions(Path(get_recipe("disjoint").data.exclude_classes))]
    assert len(names) == len(set(names)) == 20 and all(re.fullmatch(r"n\d{8}", name) for name in names)
    assert {"n02129165", "n04522168", "n02110341"} <= set(names), "lion, vase, dalmatian"


def test_a_file_of_that_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini-imagenet-test").write_text("mine\n")
    assert read_exclusions(Path("mini-imagenet-test")) == [(1, "mine")]
    with pytest.raises(DataError, match="other"):
        read_exclusions(Path("other"))


HUB_LABELS = ("tench, Tinca tinca", "nematode, nematode worm, roundworm", "crane", "crane, machine", "school bus")


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        ("n01930112", [1]),
        ("nematode", [1]),
        ("roundworm", [1]),
        ("nematode, nematode worm, roundworm", [1]),
        ("1", [1]),
        ("n04146614", [4]),
        ("Tinca tinca", [0]),
        ("crane", [2, 3]),
    ],
)
def test_classes_of_a_hub_imagenet_by_id_number_or_synonym(tmp_path, line, gone):
    (tmp_path / "out.txt").write_text(line)
    found = keep_classes(HUB_LABELS, ClassText(), tmp_path / "out.txt", "the set", numbered=True)
    assert np.flatnonzero(found.place < 0).tolist() == gone


def test_other_ids_of_a_hub_imagenet_come_from_a_file_of_names(tmp_path):
    index = ClassText({"0": "tench", "n01440764": "tench"}, {"0": "n01440764", "n01440764": "0"}, "index.json")
    mapping = ClassText({"n01440764": "tench"}, {}, "LOC_synset_mapping.txt")
    (tmp_path / "out.txt").write_text("n01440764")
    for names in (index, mapping):
        found = keep_classes(HUB_LABELS, names, tmp_path / "out.txt", "the set", numbered=True)
        assert found.place.tolist() == [-1, 0, 1, 2, 3]


@pytest.mark.parametrize("line", ["1", "roundworm", "n01930112"])
def test_only_numbered_classes_have_numbers_and_synonyms(tmp_path, line):
    """The first of a user's folders is no class 1, and a comma may be part of a name."""
    (tmp_path / "out.txt").write_text(line)
    with pytest.raises(DataError, match="which is no class of"):
        keep_classes(HUB_LABELS, ClassText(), tmp_path / "out.txt", "the set")
