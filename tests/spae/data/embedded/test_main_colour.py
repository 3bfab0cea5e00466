"""The colour an image is mostly painted in: one paint at a time, and the bounds by counted pixels."""

from __future__ import annotations

import numpy as np
import pytest

from spae.data.embedded.main_colour import main_colour


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((220, 30, 40), "red"),
        ((230, 230, 40), "yellow"),
        ((40, 160, 60), "green"),
        ((40, 90, 220), "blue"),
        ((120, 70, 30), "brown"),
        ((245, 140, 20), "orange"),
        ((140, 60, 200), "purple"),
        ((250, 110, 190), "pink"),
        ((20, 20, 25), "black"),
        ((130, 130, 132), "grey"),
        ((170, 220, 40), None),  # between yellow and green
        ((40, 200, 200), None),  # between green and blue
        ((240, 220, 200), None),  # skin, cream
        ((250, 250, 250), None),  # not painted
    ],
)
def test_main_colour_of_one_paint(rgb: tuple[int, int, int], expected: str | None) -> None:
    image = np.full((64, 64, 3), 255, np.uint8)
    image[10:40, 10:40] = rgb
    assert main_colour(image) == expected


def test_main_colour_needs_two_thirds_and_enough() -> None:
    image = np.full((64, 64, 3), 255, np.uint8)
    image[:30, :20], image[:30, 20:30] = (220, 30, 40), (40, 90, 220)  # 600 red, 300 blue: two thirds
    assert main_colour(image) == "red"
    image[29, 0] = (40, 90, 220)
    assert main_colour(image) is None
    small = np.full((64, 64, 3), 255, np.uint8)
    small[:10, :19] = (220, 30, 40)
    assert main_colour(small) is None
    small[10, :10] = (220, 30, 40)
    assert main_colour(small) == "red"
