"""Names of image sets, and paths where a name is expected."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from spae.data.opening import open_set
from spae.data.protocol import ImageSet
from spae.data.registry import SETS
from spae.errors import DataError, UnknownName


@pytest.mark.parametrize("name", sorted(SETS))
def test_registered_sets_open(name):
    one = open_set(name)
    assert isinstance(one, ImageSet) and one.name == name and one.embedded == SETS[name].embedded
    assert len(one.classes) >= 2 and one.image(one.classes[0].query[0]).shape[-1] == 3


def test_titles_count_what_is_there():
    assert SETS["pictograms"].title.startswith(f"{len(open_set('pictograms').classes)} concepts")
    assert SETS["pictograms-new"].title.startswith(f"{len(open_set('pictograms-new').classes)} concepts")


def test_path_opens_a_folder(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / label / "1.png")
    one = open_set(str(tmp_path))
    assert one.name == str(tmp_path) and not one.embedded and [c.name for c in one.classes] == ["a", "b"]


@pytest.mark.parametrize("spec", ["picograms", "", "~", "\0", "x" * 5000])
def test_neither_name_nor_path(spec):
    with pytest.raises(UnknownName, match=r"unknown data set .*path of a folder.*known: mnist, pictograms"):
        open_set(spec)


def test_near_miss():
    with pytest.raises(UnknownName, match="did you mean 'pictograms'"):
        open_set("pictogram")


@pytest.mark.parametrize("spec", ["./nowhere", "nowhere/at/all", "nowhere.csv"])
def test_missing_path_is_named(spec):
    with pytest.raises(DataError, match=r"no folder or csv at .*nowhere"):
        open_set(spec)


def test_importing_the_registry_is_cheap():
    heavy = "numpy pyarrow PIL pandas torch pydantic"
    code = f"import sys, spae.data.registry; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
