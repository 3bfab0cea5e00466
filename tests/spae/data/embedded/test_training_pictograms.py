"""The further styles that are trained on: what they add, what they must not hold, and damaged files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spae.data.embedded import training_pictograms
from spae.data.embedded.pictogram_file import IMAGE
from spae.data.embedded.pictograms import HELD_OUT_STYLE, Concept, Pictograms, load_pictograms
from spae.data.embedded.training_pictograms import (
    TRAINING_PICTOGRAMS,
    load_training_pictograms,
    with_training_styles,
    without_colour,
)
from spae.errors import CorruptImage, DataError

STYLES = ("noto", HELD_OUT_STYLE)


def test_embedded_file_adds_training_rows_only():
    plain, more = load_pictograms(), load_training_pictograms()
    first = len(plain.concept)
    assert more.pixels.shape == (first + 4455, 64, 64, 3) and len(more.styles) == len(plain.styles) + 15
    assert more.styles[: len(plain.styles)] == plain.styles and more.concepts is plain.concepts
    for name in ("pixels", "concept", "style"):
        assert np.array_equal(getattr(more, name)[:first], getattr(plain, name))
    assert np.array_equal(more.train_rows(), [*plain.train_rows(), *range(first, first + 4455)])
    assert np.array_equal(more.select([HELD_OUT_STYLE]), plain.select([HELD_OUT_STYLE]))
    assert np.array_equal(more.select(held_out=True), plain.select(held_out=True))
    assert TRAINING_PICTOGRAMS.stat().st_size < 6_000_000
    assert load_training_pictograms() is more and not more.pixels.flags.writeable


def test_colour_is_seen_by_the_pixel():
    more = load_training_pictograms()
    pixels = np.full((3, 64, 64, 3), 255, dtype=np.uint8)
    pixels[0, 3, 3], pixels[1, 3, 3], pixels[2] = (200, 200, 208), (200, 200, 209), 40
    three = replace(more, pixels=pixels, concept=more.concept[:3].copy(), style=more.style[:3].copy())
    assert without_colour(three).tolist() == [True, False, True]


def test_line_drawings_have_no_colour():
    more = load_training_pictograms()
    colourless = without_colour(more)
    of = {style: colourless[more.style == number].mean() for number, style in enumerate(more.styles)}
    assert of["symbola"] == of["noto-mono"] == 1 and of["openmoji"] < 0.3 and of["noto"] < 0.1


def test_further_images_keep_away_from_the_held_out_style():
    """None comes as near to it as what was always trained on comes at its nearest, and few come near."""
    plain, more = load_pictograms(), load_training_pictograms()
    held_out = {int(more.concept[row]): more.pixels[row].astype(np.int16) for row in more.select([HELD_OUT_STYLE])}

    def apart(rows: Iterable[int]) -> np.ndarray:
        return np.array([np.abs(more.pixels[row] - held_out[int(more.concept[row])]).mean() for row in rows])

    known, further = apart(plain.train_rows()), apart(range(len(plain.concept), len(more.concept)))
    assert further.min() > 2 * known.min() and np.median(further) > np.median(known)
    assert (further < np.quantile(known, 0.02)).mean() < 0.01


def test_every_style_has_many_images_and_none_is_blank():
    more = load_training_pictograms()
    first = len(load_pictograms().concept)
    per_style = np.bincount(more.style[first:], minlength=len(more.styles))
    assert per_style[len(load_pictograms().styles) :].min() > 50
    ink = (more.pixels[first:] < 250).any(axis=-1).mean(axis=(1, 2))
    assert ink.min() > 0.02 and ink.max() <= 1.0


def test_every_style_is_credited():
    """A row a style, with as many images as the file has, and a licence text that is there."""
    more = load_training_pictograms()
    text = TRAINING_PICTOGRAMS.with_name("pictograms.LICENSES.md").read_text(encoding="utf-8")
    for index in range(len(load_pictograms().styles), len(more.styles)):
        line = next(line for line in text.splitlines() if line.startswith(f"| `{more.styles[index]}` |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert int(cells[1]) == (more.style == index).sum()
        terms = TRAINING_PICTOGRAMS.parent / cells[5].strip("`")
        assert terms.stat().st_size > 200


# Small files beside a small first set: a lion and a cat in two styles, and a vase held out.


def image_bytes(size: int = 64, kind: str = "WEBP") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), "red").save(buffer, kind, lossless=True)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def few() -> Pictograms:
    names = ("lion", "cat", "vase")
    concepts = tuple(Concept(f"1F{i}", name, ("a",), "objects", held_out=i == 2) for i, name in enumerate(names))
    index = np.arange(6, dtype=np.int64)
    pixels = np.full((6, 64, 64, 3), 7, np.uint8)
    return Pictograms(
        concepts=concepts, styles=STYLES, pixels=pixels, concept=index // 2, style=index % 2, fingerprint="0" * 64
    )


def small_rows() -> list[dict[str, object]]:
    facts = {"tags": ["a"], "category": "objects", IMAGE: image_bytes()}
    return [
        {"concept": "1F0", "name": "lion", "style": "crayon", **facts},
        {"concept": "1F1", "name": "cat", "style": "crayon", **facts},
        {"concept": "1F1", "name": "cat", "style": "chalk", **facts},
    ]


def write(path: Path, rows: list[dict[str, object]], version: str = "1") -> Path:
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata({"spae.format_version": version}), path)
    return path


def test_small_true_file_loads(tmp_path, few):
    found = with_training_styles(few, write(tmp_path / "p.parquet", small_rows()))
    assert found.styles == (*STYLES, "crayon", "chalk") and found.concepts == few.concepts
    assert found.concept.tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 1] and found.style[6:].tolist() == [2, 2, 3]
    assert (found.pixels[:6] == 7).all() and (found.pixels[6:] == [255, 0, 0]).all()
    assert found.train_rows().tolist() == [0, 2, 6, 7, 8]
    ours = hashlib.sha256((tmp_path / "p.parquet").read_bytes()).hexdigest()
    assert found.fingerprint == hashlib.sha256(f"{few.fingerprint}\n{ours}".encode()).hexdigest()


def with_row(**changes: object) -> list[dict[str, object]]:
    first, *others = small_rows()
    return [{**first, **changes}, *others]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param(with_row(concept="1F2", name="vase"), "1F2, which training must never see", id="held-out"),
        pytest.param(with_row(style=HELD_OUT_STYLE), "has style emojione", id="held-out-style"),
        pytest.param(with_row(style="noto"), "has style noto", id="known-style"),
        pytest.param(with_row(concept="1F9"), "1F9, which is no concept", id="unknown-concept"),
        pytest.param(with_row(name="tiger"), "names 1F0 otherwise", id="other-name"),
        pytest.param([*small_rows(), small_rows()[0]], "1F0 twice in style crayon", id="twice"),
        pytest.param(with_row(**{IMAGE: None}), "empty cells in picture", id="null"),
        pytest.param([{**row, IMAGE: "red"} for row in small_rows()], "other types .* in picture", id="text"),
        pytest.param([{**row, "tags": 3} for row in small_rows()], "other types .* in tags", id="number"),
        pytest.param([{k: v for k, v in r.items() if k != "style"} for r in small_rows()], "style", id="column"),
        pytest.param(with_row(**{IMAGE: b"RIFF"}), "1F0/crayon .* does not decode", id="garbage"),
        pytest.param(with_row(**{IMAGE: image_bytes(kind="PNG")}), "does not decode", id="png"),
        pytest.param(with_row(**{IMAGE: image_bytes(32)}), "is 32x32, not 64x64", id="size"),
    ],
)
def test_damaged_content_is_named(tmp_path, few, rows, message):
    with pytest.raises(DataError, match=message) as caught:
        with_training_styles(few, write(tmp_path / "p.parquet", rows))
    assert "build_training_pictograms.py" in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_files_are_named(tmp_path, few):
    with pytest.raises(DataError, match="cannot be read"):
        with_training_styles(few, tmp_path / "missing.parquet")
    with pytest.raises(DataError, match="has format 2, this version reads 1"):
        with_training_styles(few, write(tmp_path / "v2.parquet", small_rows(), version="2"))
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(write(tmp_path / "p.parquet", small_rows()).read_bytes()[:-100])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        with_training_styles(few, cut)


def test_truncated_image_is_corrupt(tmp_path, few):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "WEBP", lossless=True)
    with pytest.raises(CorruptImage, match="1F0/crayon"):
        with_training_styles(few, write(tmp_path / "p.parquet", with_row(**{IMAGE: buffer.getvalue()[:2000]})))


def test_rebuild_names_a_script_that_is_there():
    script = training_pictograms.REBUILD.split()[-1]
    assert (Path(__file__).resolve().parents[4] / script).is_file()
