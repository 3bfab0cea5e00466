"""The builder of the training styles, on a few files, icons and glyphs in the layouts of the true packages."""

from __future__ import annotations

import importlib
import io
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from spae.data.embedded.pictogram_file import IMAGE
from spae.data.embedded.pictograms import HELD_OUT_STYLE, Concept, Pictograms
from spae.data.embedded.training_pictograms import with_training_styles

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
DISC = '<circle cx="36" cy="36" r="30" fill="{}"/>'


@pytest.fixture
def builder(monkeypatch) -> ModuleType:
    pytest.importorskip("resvg_py", reason="resvg-py draws the pictograms; needed only to rebuild them")
    monkeypatch.syspath_prepend(str(SCRIPTS))  # where the one script finds the other
    return importlib.import_module("build_training_pictograms")


def svg(body: str) -> str:
    return f'<svg id="a" viewBox="0 0 72 72" width="700" height="3em" xmlns="http://www.w3.org/2000/svg">{body}</svg>'


@pytest.fixture
def known() -> Pictograms:
    """A heart, a cat and a vase that is held out; all rendered as a black bar; the cat of the held-out style green."""
    concepts = tuple(
        Concept(code, name, (), "objects", held_out=name == "vase")
        for code, name in (("2764", "heart"), ("1F408", "cat"), ("1F3FA", "vase"))
    )
    pixels = np.full((6, 64, 64, 3), 255, np.uint8)
    pixels[:, 20:30, 4:60] = 0
    pixels[3] = (0, 255, 0)
    index = np.arange(6, dtype=np.int64)
    return Pictograms(
        concepts=concepts,
        styles=("noto", HELD_OUT_STYLE),
        pixels=pixels,
        concept=index // 2,
        style=index % 2,
        fingerprint="0" * 64,
    )


@pytest.fixture
def packages(tmp_path) -> Path:
    """`pens` draws all three by code point, the heart with its selector; `shop` draws two by name in two weights."""

    def put(path: Path, content: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")

    for code, colour in (("2764-FE0F", "red"), ("1F408", "blue"), ("1F3FA", "gold")):
        put(tmp_path / "pens/svg" / f"{code}.svg", svg(DISC.format(colour)))
    bodies = {"cat-bold": DISC.format("teal"), "cat": DISC.format("pink"), "heart-bold": DISC.format("navy")}
    put(tmp_path / "shop/icons.json", {"icons": {n: {"body": b} for n, b in bodies.items()}, "width": 72, "height": 72})
    data = tmp_path / "emojibase-data"
    rows = [("2764", "heart", 1), ("1F408", "cat", 2), ("1F3FA", "vase", 3)]
    put(data / "en/data.json", [{"hexcode": h, "label": n, "group": 7, "order": o} for h, n, o in rows])
    put(data / "meta/unicode-names.json", {})
    for name in ("cldr", "emojibase", "emojibase-legacy", "github", "iamcal", "joypixels"):
        put(data / f"en/shortcodes/{name}.json", {"1F3FA": ["heart"]})
    for package in ("pens", "shop"):
        put(tmp_path / package / "package.json", {"version": "1.0.0"})
    return tmp_path


def drawn_rows(builder, packages, known, **styles) -> dict[str, np.ndarray]:
    builder.STYLES.clear()
    builder.STYLES.update(styles)
    return {
        f"{row['name']}/{row['style']}": np.asarray(Image.open(io.BytesIO(row[IMAGE])).convert("RGB"))
        for row in builder.rows(packages, known)
    }


@pytest.fixture(autouse=True)
def styles_put_back(builder):
    true = dict(builder.STYLES)
    yield
    builder.STYLES.clear()
    builder.STYLES.update(true)


def test_file_is_what_the_loader_reads(builder, packages, known, tmp_path, monkeypatch):
    builder.STYLES.clear()
    builder.STYLES.update(pens=builder.Files("pens", "svg"), shop=builder.Icons("shop", suffix="-bold"))
    monkeypatch.setattr(builder, "load_pictograms", lambda path: known)
    for name in ("1.parquet", "2.parquet"):
        builder.build(packages, tmp_path / name)
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    found = with_training_styles(known, tmp_path / "1.parquet")
    assert found.styles[2:] == ("pens", "shop") and found.concept[6:].tolist() == [0, 0, 1, 1]
    middle = found.pixels[6:, 32, 32].tolist()
    assert middle == [[255, 0, 0], [0, 0, 128], [0, 0, 255], [0, 128, 128]]
    assert (found.pixels[6:, 0, 0] == 255).all()  # whatever size the file states, it fills the square


def test_held_out_concepts_are_left_out(builder, packages, known):
    assert set(drawn_rows(builder, packages, known, pens=builder.Files("pens", "svg"))) == {"heart/pens", "cat/pens"}


def test_icons_that_show_another_thing_are_left_out(builder, packages, known):
    shop = builder.Icons("shop", suffix="-bold", wrong=("heart",))
    assert set(drawn_rows(builder, packages, known, shop=shop)) == {"cat/shop"}
    with pytest.raises(SystemExit, match="shop has no icon for dog"):
        drawn_rows(builder, packages, known, shop=replace(shop, wrong=("dog",)))


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        pytest.param(DISC.format("blue"), True, id="another"),
        pytest.param('<path d="M9 27h45v9H9z"/>', False, id="a-bar-elsewhere-and-smaller"),
        pytest.param('<path d="M0 0h72v72H0z" fill="#02fd02"/>', False, id="the-held-out-style"),
    ],
)
def test_near_repeats_are_left_out(builder, packages, known, body, kept):
    """The bar is in the first set, and only the held-out style has the green one."""
    (packages / "pens/svg/1F408.svg").write_text(svg(body), encoding="utf-8")
    found = drawn_rows(builder, packages, known, pens=builder.Files("pens", "svg"))
    assert ("cat/pens" in found) == kept and "heart/pens" in found


def test_one_style_near_another_is_left_out(builder, packages, known):
    pens = builder.Files("pens", "svg")
    assert set(drawn_rows(builder, packages, known, pens=pens, ink=pens)) == {"heart/pens", "cat/pens"}


def test_png_is_laid_on_white(builder, tmp_path):
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    clear.paste((255, 0, 0, 128), (0, 0, 64, 10))
    clear.save(tmp_path / "a.png")
    image = builder.png_file(tmp_path / "a.png")
    assert image[0, 0].tolist() == [255, 127, 127] and (image[10:] == 255).all()
    clear.resize((32, 32)).save(tmp_path / "b.png")
    with pytest.raises(SystemExit, match=r"b\.png: is \(32, 32\)"):
        builder.png_file(tmp_path / "b.png")


def test_glyphs_fill_the_square_but_for_a_margin(builder):
    from PIL import ImageFont

    font = ImageFont.load_default(builder.GLYPH)
    for character, side in (("l", 0), ("_", 1)):  # a tall one and a wide one
        ink = builder.glyph(font, character).min(axis=-1) < 128
        found = np.flatnonzero(ink.any(axis=1 - side))
        assert (found[0], found[-1]) == (builder.MARGIN, 63 - builder.MARGIN)
