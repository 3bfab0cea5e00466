"""Names in several Unicode forms: read in NFC, told apart where two differ by form only, matched everywhere else."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spae.canonical import composed, folded
from spae.data.class_names import ClassText, keep_classes, read_class_text
from spae.data.datasets.image_folder import open_folder
from spae.data.opening import open_set
from spae.data.spec import parse_data_spec
from spae.errors import DataError

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(path)


def test_composed_and_folded():
    assert NFC != NFD and composed(NFD) == composed(NFC) == NFC
    assert folded(unicodedata.normalize("NFD", "CAFÉ")) == NFC
    assert folded("ǰ") == folded("J̌"), "case folding takes some characters apart"


def test_folder_names_of_macos_are_read_composed(tmp_path):
    for name in (NFD, "lion"):
        photo(tmp_path / name / "1.png")
    assert [one.name for one in open_set(str(tmp_path)).classes] == [NFC, "lion"]


@pytest.mark.parametrize("file", ["classes.txt", "labels.json"])
def test_file_of_names_matches_the_other_form(tmp_path, file):
    (tmp_path / file).write_text(f"{NFC} A {NFD}" if file.endswith("txt") else f'{{"{NFC}": "A {NFD}"}}', "utf-8")
    assert read_class_text(tmp_path / file).text(NFD) == f"A {NFC}"


def test_two_names_that_differ_by_form_only_are_told(tmp_path):
    for name in (NFC, NFD, "lion"):
        photo(tmp_path / name / "1.png")
    with pytest.raises(
        DataError, match=r"the class 'café' twice, spelt by other .* \('cafe\\u0301', 'caf\\xe9'\): rename"
    ):
        open_set(str(tmp_path))
    with pytest.raises(DataError, match="twice, spelt by other Unicode characters"):
        open_folder(parse_data_spec(f"folder:{tmp_path}"), None, None)


def test_held_out_classes_and_exclusions_match_the_other_form(tmp_path):
    for split, names in (("train", (NFC, "lion", "ant")), ("val", (NFD, "lion", "ant"))):
        for name in names:
            photo(tmp_path / split / name / "1.png")
    assert len(open_folder(parse_data_spec(f"folder:{tmp_path}"), None, None).held_out) == 3
    (tmp_path / "out.txt").write_text(NFD, "utf-8")
    assert keep_classes([NFC, "lion"], ClassText(), tmp_path / "out.txt", "x").texts == ("lion",)
