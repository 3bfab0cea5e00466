"""Crops of photographs: where they lie, how they are scaled, what is left of colour and direction."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from spae.data.transforms import LEAST_AREA, ImageLoader, center_crop, random_crop
from spae.errors import CorruptImage


def encoded(pixels: np.ndarray, kind: str = "png", **more: object) -> io.BytesIO:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **more)
    return io.BytesIO(stream.getvalue())


def ramp(width: int, height: int) -> np.ndarray:
    """Red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.zeros_like(x)], 2).astype(np.uint8)


def test_middle_square_of_a_wide_image():
    pixels = ImageLoader(8).load(encoded(ramp(96, 48)), "a", None)
    assert pixels.shape == (8, 8, 3)
    # The middle half of the width: red from a quarter to three quarters, green over all of it.
    assert pixels[..., 0].min() == pytest.approx(64 + 8, abs=4) and pixels[..., 0].max() == pytest.approx(
        191 - 8, abs=4
    )
    assert pixels[0, :, 1].mean() == pytest.approx(16, abs=3) and pixels[-1, :, 1].mean() == pytest.approx(239, abs=3)


def test_crops_stay_inside_and_in_range():
    areas, mirrored = [], 0
    for seed in range(400):
        found = random_crop(300, 200, np.random.default_rng(seed), 1.0)
        left, top, right, bottom = found.box
        assert 0 <= left < right <= 1 + 1e-9 and 0 <= top < bottom <= 1 + 1e-9
        ratio = (right - left) * 300 / ((bottom - top) * 200)
        area = (right - left) * (bottom - top)
        assert 0.74 < ratio < 1.51 and area <= 1  # 1.5 where a tall crop is cut to the image
        areas.append(area)
        mirrored += found.mirrored
    assert min(areas) > LEAST_AREA * 0.75 and max(areas) > 0.8 and 150 < mirrored < 250


def test_strength_nought_is_the_middle_mirrored_or_not():
    crops = [random_crop(40, 30, np.random.default_rng(seed), 0.0) for seed in range(50)]
    assert {one.box for one in crops} == {center_crop(40, 30).box} and {one.mirrored for one in crops} == {True, False}


def test_mirror():
    plain, turned = None, None
    for seed in range(20):
        pixels = ImageLoader(8, strength=0.0).load(encoded(ramp(32, 32)), "a", np.random.default_rng(seed))
        if pixels[0, 0, 0] < pixels[0, -1, 0]:
            plain = pixels
        else:
            turned = pixels
    assert plain is not None and turned is not None and np.array_equal(plain[:, ::-1], turned)


def test_exif_orientation_comes_before_the_crop():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise to be seen: what was left becomes top
    pixels = ImageLoader(8).load(encoded(ramp(96, 48), "jpeg", exif=exif, quality=95), "a", None)
    assert pixels[0, :, 0].mean() < 90 < 160 < pixels[-1, :, 0].mean()


@pytest.mark.parametrize("seed", range(6))
def test_reduced_decoding_of_jpeg_shows_the_same_crop(seed):
    """A JPEG decoded at a half, a quarter or an eighth, against the same crop of all its pixels."""
    pixels = ramp(512, 384)
    reduced = ImageLoader(16).load(encoded(pixels, "jpeg", quality=95), "a", np.random.default_rng(seed))
    whole = ImageLoader(16).load(encoded(pixels), "a", np.random.default_rng(seed))
    assert np.abs(reduced.astype(int) - whole).max() <= 8


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2)], ids=str)
def test_odd_sizes(size):
    for rng in (None, np.random.default_rng(0)):
        assert ImageLoader(16).load(encoded(ramp(*size)), "a", rng).shape == (16, 16, 3)


def test_no_image():
    with pytest.raises(CorruptImage, match="image shard:a does not decode"):
        ImageLoader(8).load(io.BytesIO(b"text"), "shard:a", None)
