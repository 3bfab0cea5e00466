"""Examples: only PNG images, pyramids that are full, and a file that reads back."""

import base64
import json

import pytest
from pydantic import ValidationError

from results.errors import RecordError
from results.report.example import (
    Examples,
    ReconstructedImage,
    ShownImage,
    WordLayer,
    load_examples,
    png_text,
    save_examples,
)


def test_a_book_reads_back(fake_run):
    book = load_examples(fake_run)
    assert len(book.samples) == 4 and book.note("pictograms").embedded and book.note("other") is None
    save_examples(fake_run / "copy", book)
    assert load_examples(fake_run / "copy") == book


def test_token_counts_follow_the_grids(fake_run):
    book = load_examples(fake_run)
    rows = {("spae", "1"): 1, ("spae", "1-2"): 5, ("spae", "1-4"): 37, ("spae", "1,3"): 17, ("vqgan", "1"): 16}
    assert book.token_counts([*rows, ("spae", "1-9"), ("unknown", "1")]) == rows
    without = Examples(samples=book.samples)
    assert without.token_counts([("spae", "1-2")]) == {("spae", "1-2"): 5}


def test_no_file_is_an_empty_book(tmp_path):
    assert load_examples(tmp_path) == Examples()


@pytest.mark.parametrize("image", [
    pytest.param("", id="empty"),
    pytest.param(base64.b64encode(b"<svg onload=alert(1)>").decode(), id="svg"),
    pytest.param('"><script>', id="markup"),
    pytest.param("iVBORw0KGgo=\n", id="newline"),
    pytest.param(base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 2_000_000).decode(), id="huge"),
])  # fmt: skip
def test_only_png_images(image):
    with pytest.raises(ValidationError):
        ShownImage(role="query", label="a", png=image, pyramid=())


def test_a_layer_is_full():
    with pytest.raises(ValidationError, match="2x2"):
        WordLayer(rows=2, columns=2, words=("a",))


def test_a_reconstruction_has_one_image_per_layer(fake_run):
    one = load_examples(fake_run).reconstructions[0]
    fields = one.model_dump() | {
        "images": (ReconstructedImage(label="a", original=png_text(b"\x89PNG\r\n\x1a\n"), by_layer=()),)
    }
    with pytest.raises(ValidationError, match="one per layer"):
        type(one).model_validate(fields)


def test_a_broken_file_is_one_short_error(fake_run):
    held = json.loads((fake_run / "examples.json").read_text())
    held["samples"][0]["images"][0]["png"] = "x" * 5000
    (fake_run / "examples.json").write_text(json.dumps(held))
    with pytest.raises(RecordError, match=r"samples\.0\.images\.0\.png") as caught:
        load_examples(fake_run)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
