"""The list that comes with the package: the classes that the disjoint recipe leaves out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spae.data.exclusion import read_exclusions
from spae.errors import DataError
from spae.training.recipes import get_recipe


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
