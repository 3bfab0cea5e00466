"""Where the parts of scenes stand, and how they are painted: rules, hand-worked numbers and exact fractions."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from spae.data.embedded.scene_layout import SIDE, Box, boxes, paint, pick, shrink


@pytest.mark.parametrize("count", [1, 2, 3])
def test_boxes_lie_inside_and_apart(count: int) -> None:
    sizes, places = set(), set()
    for number in range(300):
        made = boxes(f"test/{number}", count)
        assert len(made) == count
        for box in made:
            assert min(box.left, box.top) >= 0 and max(box.left, box.top) + box.size <= SIDE
            sizes.add(box.size)
            places.add((box.left, box.top))
        for a, b in combinations(made, 2):
            over = a.left < b.left + b.size and b.left < a.left + a.size
            assert not (over and a.top < b.top + b.size and b.top < a.top + a.size)
    assert len(sizes) > 8 and len(places) > 100


def test_two_stand_beside_or_above_each_other() -> None:
    ways = set()
    for number in range(50):
        a, b = boxes(f"test/{number}", 2)
        beside, above = a.left + a.size <= b.left, a.top + a.size <= b.top
        assert beside or above
        ways.add((beside, above))
    assert {(True, False), (False, True)} <= ways


@pytest.mark.parametrize(
    ("box", "side", "level"),
    [
        (Box(0, 0, 30), "left", "top"),
        (Box(34, 34, 30), "right", "bottom"),
        (Box(17, 17, 30), "", ""),
        (Box(10, 24, 30), "left", "bottom"),  # centres 25 and 39 of 64: a tenth is 6.4
        (Box(11, 23, 30), "", ""),  # 26 and 38: just short of it
    ],
)
def test_sides(box: Box, side: str, level: str) -> None:
    assert (box.side, box.level) == (side, level)


def test_pick_is_the_first_eight_bytes() -> None:
    assert pick("spae", 1000) == int(hashlib.sha256(b"spae").hexdigest()[:16], 16) % 1000


@pytest.mark.parametrize("size", [1, 5, 7, 8])
def test_shrink_is_the_mean_of_the_area(size: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    expected = np.empty((size, size, 3), np.uint8)
    step = Fraction(8, size)
    for i in range(size):
        for j in range(size):
            for c in range(3):
                total = Fraction(0)
                for a in range(8):
                    for b in range(8):
                        high = max(0, min(step * (i + 1), a + 1) - max(step * i, a))
                        wide = max(0, min(step * (j + 1), b + 1) - max(step * j, b))
                        total += high * wide * int(image[a, b, c])
                expected[i, j, c] = int(total / (step * step) + Fraction(1, 2))  # halves up
    assert (shrink(image, size) == expected).all()


def test_paint_puts_each_in_its_box() -> None:
    red, blue = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    scene = paint([red, blue], [Box(0, 0, 20), Box(40, 30, 10)])
    assert (scene[:20, :20] == (255, 0, 0)).all() and (scene[30:40, 40:50] == (0, 0, 255)).all()
    assert int((scene != 255).any(2).sum()) == 20 * 20 + 10 * 10
