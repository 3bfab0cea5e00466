"""The builder of the embedded pictograms, on a tiny folder of packages in the true layout."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from spae.data.embedded.pictograms import load_pictograms

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "build_pictograms.py"
COLOURS = {"blueheart": "#0000ff", "red-heart": "#ff0000", "heart": "#00ff00"}


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    pytest.importorskip("resvg_py", reason="resvg-py draws the pictograms; needed only to rebuild them")
    spec = importlib.util.spec_from_file_location("build_pictograms", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def packages(tmp_path, builder):
    """`blue heart` and `red heart` in all sets, `heart` (nicknamed `red heart`, half as wide) in all but one."""

    def write(path: Path, content: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")

    for style, package in builder.SETS.items():
        bodies = {name: {"body": f'<rect width="32" height="32" fill="{fill}"/>'} for name, fill in COLOURS.items()}
        bodies["heart"] = {"body": '<rect width="16" height="32" fill="#00ff00"/>', "width": 16}
        if style == "emojione":
            del bodies["heart"]
        aliases = {"turned": {"parent": "heart", "rotate": 1}} if "heart" in bodies else {}
        content = {"icons": bodies, "aliases": aliases, "width": 32, "height": 32}
        write(tmp_path / package / "icons.json", content)
        write(tmp_path / package / "package.json", {"version": "1.0.0"})
    data = tmp_path / "emojibase-data"
    rows = [("A1", "heart", 3), ("A2", "blue heart", 2), ("A3", "red heart", 1), ("A4", "turned", 4)]
    write(
        data / "en/data.json",
        [{"hexcode": h, "label": n, "group": 7, "order": o, "tags": ["Love", n, "dé"]} for h, n, o in rows],
    )
    write(data / "meta/unicode-names.json", {"A1": "RED HEART"})
    write(data / "package.json", {"version": "2.0.0"})
    for name in builder.SHORTCODES:
        write(data / f"en/shortcodes/{name}.json", {"A1": ["red_heart"]})
    return tmp_path


def test_file_is_what_the_loader_reads(builder, packages, tmp_path):
    builder.build(packages, tmp_path / "p.parquet")
    found = load_pictograms(tmp_path / "p.parquet")
    # Unicode's order; `heart` is missing in the held-out style, and never takes the icon of `red heart`.
    assert [concept.name for concept in found.concepts] == ["red heart", "blue heart"]
    assert found.concepts[0].tags == ("love", "de") and found.concepts[0].category == "objects"
    assert found.styles == tuple(builder.SETS) and found.pixels.shape == (14, 64, 64, 3)
    assert (found.pixels[:7] == [255, 0, 0]).all() and (found.pixels[7:] == [0, 0, 255]).all()


def test_bytes_come_out_the_same(builder, packages, tmp_path):
    builder.build(packages, tmp_path / "1.parquet")
    builder.build(packages, tmp_path / "2.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_narrow_icons_are_centred_on_white(builder, packages):
    pixels = builder.IconSet(packages / builder.SETS["noto"]).pixels("heart")
    assert (pixels[:, 16:48] == [0, 255, 0]).all()
    assert (pixels[:, :16] == 255).all() and (pixels[:, 48:] == 255).all() and pixels.dtype == np.uint8


def test_wrong_match_stops_the_build(builder, packages):
    folder = packages / builder.SETS["noto"]
    (folder / "chars.json").write_text(json.dumps({"a3": "blueheart"}), encoding="utf-8")
    with pytest.raises(SystemExit, match="red heart: matched red-heart, the set lists blueheart"):
        builder.build(packages, packages / "p.parquet")


def test_names(builder):
    def named(*labels: str) -> list[str]:
        concepts = [builder.Source(str(i), label, (), "objects", i) for i, label in enumerate(labels)]
        return list(builder.concept_names(concepts).values())

    assert named("wind face", "dog face", "dog") == ["wind", "dog face", "dog"]
    assert named("woman\u2019s boot", "lady beetle") == ["woman's boot", "ladybug"]
    with pytest.raises(SystemExit, match="same name"):
        named("dog", "Dog")
