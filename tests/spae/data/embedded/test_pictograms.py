"""The embedded pictograms: counts, splits, and what happens to a damaged file."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spae.data.embedded import pictograms
from spae.data.embedded.pictogram_file import IMAGE
from spae.data.embedded.pictograms import HELD_OUT_STYLE, PictogramSet, held_out_ids, load_pictograms, new_concepts
from spae.data.protocol import ImageSet
from spae.errors import CorruptImage, DataError, UnknownName

STYLES = ("noto", "noto-v1", "fluent-emoji", "fluent-emoji-flat", "twemoji", "emojione")


def test_counts_and_shapes():
    found = load_pictograms()
    assert len(found.concepts) == 651 and found.pixels.shape == (4342, 64, 64, 3) and found.pixels.dtype == np.uint8
    assert found.concept.shape == found.style.shape == (4342,)
    assert set(found.styles) == {*STYLES, "fxemoji"}
    assert found.fingerprint == hashlib.sha256(pictograms.PICTOGRAMS.read_bytes()).hexdigest()
    assert pictograms.PICTOGRAMS.stat().st_size < 10_000_000
    assert load_pictograms() is found


def test_names_read_as_plain_text():
    names = [concept.name for concept in load_pictograms().concepts]
    assert len(set(names)) == len(names)
    assert {"lion", "hot dog", "electric plug", "ladybug"} <= set(names)
    assert all(name == name.lower().strip() and name.isascii() and name.isprintable() for name in names)
    assert {concept.category for concept in load_pictograms().concepts} == {
        "animals-nature",
        "food-drink",
        "travel-places",
        "activities",
        "objects",
    }


def test_every_concept_has_the_held_out_style_and_five_others():
    found = load_pictograms()
    pairs = set(zip(found.concept.tolist(), found.style.tolist(), strict=True))
    assert len(pairs) == len(found.concept)
    per_concept = np.bincount(found.concept, minlength=len(found.concepts))
    assert per_concept.min() >= 6 and per_concept.max() <= 7
    held_out = found.styles.index(HELD_OUT_STYLE)
    assert all((concept, held_out) in pairs for concept in range(len(found.concepts)))


def test_images_are_drawings_on_white():
    pixels = load_pictograms().pixels
    corners = pixels[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 255).all(axis=(1, 2)).mean() > 0.7  # most drawings leave all four corners free
    ink = (pixels < 250).any(axis=-1).mean(axis=(1, 2))
    assert ink.min() > 0.02 and ink.max() <= 1.0


def test_lion_is_orange_brown_in_the_middle():
    found = load_pictograms()
    lion = next(i for i, concept in enumerate(found.concepts) if concept.name == "lion")
    assert found.concepts[lion].id == "1F981" and "animal" in found.concepts[lion].tags
    red, green, blue = found.pixels[found.concept == lion][:, 16:48, 16:48].reshape(-1, 3).mean(axis=0)
    assert red > green > blue


def test_split_by_concept_is_a_fifth_by_hash():
    found = load_pictograms()
    ids = [concept.id for concept in found.concepts]
    held_out = {concept.id for concept in found.concepts if concept.held_out}
    assert len(held_out) == 130
    digest = {i: hashlib.sha256(f"{pictograms.SPLIT_SEED}:{i}".encode()).hexdigest() for i in ids}
    assert max(digest[i] for i in held_out) < min(digest[i] for i in ids if i not in held_out)
    assert held_out_ids(ids[::-1]) == held_out  # the order of the ids says nothing
    assert held_out_ids(ids, seed="another") != held_out


def test_training_sees_neither_the_style_nor_the_concepts():
    found = load_pictograms()
    rows = found.train_rows()
    assert found.styles.index(HELD_OUT_STYLE) not in found.style[rows]
    assert not any(found.concepts[i].held_out for i in set(found.concept[rows].tolist()))
    assert len(set(found.concept[rows].tolist())) == 651 - 130
    assert len(rows) + len(found.select(held_out=True)) + len(found.select([HELD_OUT_STYLE], held_out=False)) == 4342


def test_select_by_style():
    found = load_pictograms()
    assert len(found.select()) == 4342
    assert set(found.style[found.select(["noto"])].tolist()) == {found.styles.index("noto")}
    assert len(found.select([])) == 0
    with pytest.raises(UnknownName, match="did you mean 'emojione'"):
        found.select(["emojone"])


def test_cached_pixels_cannot_be_written():
    with pytest.raises(ValueError):
        load_pictograms().pixels[0, 0, 0, 0] = 1


@pytest.mark.parametrize(
    ("held_out", "name", "classes"),
    [pytest.param(False, "pictograms", 521, id="seen"), pytest.param(True, "pictograms-new", 130, id="new")],
)
def test_image_sets(held_out, name, classes):
    one = PictogramSet(new_concepts=held_out)
    assert isinstance(one, ImageSet) and one.name == name and one.embedded and "not mini-ImageNet" in one.title
    assert len(one.classes) == classes
    assert [c.name for c in one.classes] == sorted(c.name for c in one.classes)
    expected = {concept.name for concept in load_pictograms().concepts if concept.held_out == held_out}
    assert {c.name for c in one.classes} == expected
    for each in one.classes:
        assert [i.split("/")[1] for i in each.query] == [HELD_OUT_STYLE]
        assert len(each.support) >= 5 and not any(i.endswith(f"/{HELD_OUT_STYLE}") for i in each.support)


def test_set_gives_the_image_of_its_id():
    found, one = load_pictograms(), new_concepts()
    assert one.fingerprint != PictogramSet().fingerprint and one.fingerprint == new_concepts().fingerprint
    concept, style = one.classes[3].support[0].split("/")
    row = [
        r
        for r in range(len(found.concept))
        if found.concepts[found.concept[r]].id == concept and found.styles[found.style[r]] == style
    ]
    image = one.image(f"{concept}/{style}")
    assert np.array_equal(image, found.pixels[row[0]]) and image.flags.writeable
    with pytest.raises(DataError, match="no image"):
        one.image("1F981/crayon")


# Damaged files: a small true-format file, and one thing wrong with it.


def image_bytes(size: int = 64, kind: str = "WEBP") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), "red").save(buffer, kind, lossless=True)
    return buffer.getvalue()


def small_rows() -> list[dict[str, object]]:
    return [
        {
            "concept": f"1F98{c}",
            "name": f"thing {c}",
            "tags": ["a"],
            "category": "objects",
            "style": s,
            IMAGE: image_bytes(),
        }
        for c in range(5)
        for s in STYLES
    ]


def write(path: Path, rows: list[dict[str, object]], version: str = "1") -> Path:
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"spae.format_version": version})
    pq.write_table(table, path)
    return path


def test_small_true_file_loads(tmp_path):
    found = load_pictograms(write(tmp_path / "p.parquet", small_rows()))
    assert len(found.concepts) == 5 and sum(c.held_out for c in found.concepts) == 1
    assert (found.pixels == [255, 0, 0]).all()


def drop_style(rows):
    return [row for row in rows if not (row["concept"] == "1F981" and row["style"] == HELD_OUT_STYLE)]


def drop_other(rows):
    return [row for row in rows if not (row["concept"] == "1F981" and row["style"] == "noto")]


def with_row(rows, **changes):
    return [{**rows[0], **changes}, *rows[1:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(drop_style, "lacks 1F981 in style emojione", id="no-held-out-style"),
        pytest.param(drop_other, "in 5 styles of 6", id="few-styles"),
        pytest.param(lambda rows: [*rows, rows[0]], "twice in one style", id="twice"),
        pytest.param(lambda rows: with_row(rows, name="other"), "two names", id="two-names"),
        pytest.param(lambda rows: [{**r, "name": "same"} for r in rows], "the same name", id="same-name"),
        pytest.param(lambda rows: with_row(rows, **{IMAGE: None}), "empty cells in picture", id="null"),
        pytest.param(lambda rows: [{k: v for k, v in r.items() if k != "tags"} for r in rows], "tags", id="column"),
        pytest.param(lambda rows: with_row(rows, **{IMAGE: b"RIFF"}), "1F980/noto .* does not decode", id="garbage"),
        pytest.param(lambda rows: with_row(rows, **{IMAGE: image_bytes(kind="PNG")}), "does not decode", id="png"),
        pytest.param(lambda rows: with_row(rows, **{IMAGE: image_bytes(32)}), "is 32x32, not 64x64", id="size"),
    ],
)
def test_damaged_content_is_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message) as caught:
        load_pictograms(write(tmp_path / "p.parquet", change(small_rows())))
    assert "build_pictograms.py" in str(caught.value) and "\n" not in str(caught.value)


def test_truncated_image_is_corrupt(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "WEBP", lossless=True)
    rows = with_row(small_rows(), **{IMAGE: buffer.getvalue()[:2000]})
    with pytest.raises(CorruptImage, match="1F980/noto"):
        load_pictograms(write(tmp_path / "p.parquet", rows))


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        load_pictograms(tmp_path / "missing.parquet")
    with pytest.raises(DataError, match="has format 2, this version reads 1"):
        load_pictograms(write(tmp_path / "v2.parquet", small_rows(), version="2"))
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(write(tmp_path / "p.parquet", small_rows()).read_bytes()[:-100])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        load_pictograms(cut)


def test_every_style_is_credited():
    text = pictograms.PICTOGRAMS.with_name("pictograms.LICENSES.md").read_text(encoding="utf-8")
    folder = pictograms.PICTOGRAMS.with_name("licenses")
    for style in load_pictograms().styles:
        assert f"| `{style}` |" in text
    for name in ("Apache-2.0", "CC-BY-4.0", "MIT-fluentui-emoji", "MIT-emojibase-data"):
        assert f"licenses/{name}.txt" in text and (folder / f"{name}.txt").stat().st_size > 900
