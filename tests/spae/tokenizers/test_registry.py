"""Tokenizers by name, by folder, and from plug-ins."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from spae.errors import UnknownName, WeightsError
from spae.plugins import Plugin
from spae.tokenizers import registry
from spae.tokenizers.protocol import Tokenizer
from spae.tokenizers.registry import BUILT_IN, GROUP, TokenizerEntry, entries, open_tokenizer


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, spae.tokenizers.registry as r; r.entries();"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'pandas', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_built_in_names():
    assert set(BUILT_IN) == {"spae", "spae-plain", "vqgan", "spae-mnist", "lqae-without-lm"}
    assert all(name == entry.name and entry.title for name, entry in BUILT_IN.items())


@pytest.fixture
def stand_in(monkeypatch):
    """A module whose `make` gives an object of its own."""
    module = ModuleType("module_of_a_test")
    made = SimpleNamespace(**dict.fromkeys((*Tokenizer.__annotations__, *vars(Tokenizer)), "made"))
    module.make = lambda: made
    monkeypatch.setitem(sys.modules, "module_of_a_test", module)
    return "module_of_a_test:make"


def test_a_name_wins_over_a_folder_of_that_name(stand_in, monkeypatch, tmp_path):
    monkeypatch.setitem(BUILT_IN, "spae", TokenizerEntry("spae", stand_in, "a test"))
    (tmp_path / "spae").mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_tokenizer("spae").name == "made"
    with pytest.raises(WeightsError, match=r"holds no config\.json"):
        open_tokenizer("./spae")


def test_a_folder_opens(tiny_folder, monkeypatch):
    assert open_tokenizer(str(tiny_folder)).name == "tiny"
    monkeypatch.chdir(tiny_folder.parent)
    assert open_tokenizer(tiny_folder.name).name == "tiny"


@pytest.mark.parametrize(("name", "hint"), [("spea", "'spae'"), ("vq-gan", "'vqgan'")])
def test_an_unknown_name_gets_the_near_one(name, hint, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName, match=f"unknown tokenizer '{name}': did you mean {hint}") as caught:
        open_tokenizer(name)
    assert registry.PATH_HELP in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_folder_is_a_missing_model(tmp_path):
    with pytest.raises(WeightsError, match=r"holds no config\.json"):
        open_tokenizer(str(tmp_path / "gone"))


def test_plug_ins_are_listed_after_the_built_in(stand_in, monkeypatch, tmp_path):
    points = [
        Plugin(GROUP, "spae", stand_in, "other-spae"),
        Plugin(GROUP, "mine", stand_in, "other-spae"),
    ]
    monkeypatch.setattr("spae.plugins._scan", lambda: tuple(points))
    monkeypatch.chdir(tmp_path)
    found = entries()
    assert list(found)[:5] == ["spae", "spae-plain", "vqgan", "spae-mnist", "lqae-without-lm"]
    assert found["spae"] == BUILT_IN["spae"], "a plug-in never takes a built-in name"
    assert open_tokenizer("mine") == open_tokenizer("spae@other-spae") is not None
