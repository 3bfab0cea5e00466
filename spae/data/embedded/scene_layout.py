"""Where the one to three images of a scene stand, and how they are painted.

Placement is sampled by hashes and painting is integer arithmetic: the same scene, byte for byte, on every machine and
with every version of every library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SIDE = 64
"""Rows and columns of a scene."""
_HALF = SIDE // 2


@dataclass(frozen=True)
class Box:
    """A square of a scene, in pixels from the top left."""

    left: int
    top: int
    size: int

    @property
    def side(self) -> str:
        """'left' or 'right' where the centre is clearly so (a tenth of the scene from the middle), else ''."""
        centre = 2 * self.left + self.size  # twice the centre: 0 to 2 * SIDE
        if 10 * centre <= 8 * SIDE:
            return "left"
        return "right" if 10 * centre >= 12 * SIDE else ""

    @property
    def level(self) -> str:
        """'top' or 'bottom', as `side`."""
        return {"left": "top", "right": "bottom", "": ""}[Box(self.top, self.left, self.size).side]


def pick(key: str, count: int) -> int:
    """One of 0..count-1, fixed by the key: the first eight bytes of its sha256 (none is favoured by 1e-15)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % count


def boxes(key: str, count: int) -> tuple[Box, ...]:
    """Boxes of a scene of 1, 2 or 3 images, none over another: two stand left and right or above each other, three
    in three of the four quarters.

    Args:
        key: fixes the sample.
        count: 1, 2 or 3.
    """
    if count == 1:
        size = 28 + pick(f"{key}/size", 33)
        return (Box(pick(f"{key}/left", SIDE - size + 1), pick(f"{key}/top", SIDE - size + 1), size),)
    made = []
    if count == 2:
        upright = pick(f"{key}/axis", 2)
        for i in range(2):
            size = 23 + pick(f"{key}/size/{i}", 9)
            along = i * _HALF + pick(f"{key}/along/{i}", _HALF - size + 1)
            across = pick(f"{key}/across/{i}", SIDE - size + 1)
            made.append(Box(across, along, size) if upright else Box(along, across, size))
        return tuple(made)
    empty = pick(f"{key}/empty", 4)
    for quarter in (q for q in range(4) if q != empty):
        size = 21 + pick(f"{key}/size/{quarter}", 10)
        left = quarter % 2 * _HALF + pick(f"{key}/left/{quarter}", _HALF - size + 1)
        top = quarter // 2 * _HALF + pick(f"{key}/top/{quarter}", _HALF - size + 1)
        made.append(Box(left, top, size))
    return tuple(made)


def paint(images: Sequence[np.ndarray], places: Sequence[Box]) -> np.ndarray:
    """[SIDE, SIDE, 3] uint8 RGB: each image, shrunk to its box, on white.

    Args:
        images: each [H, H, 3] uint8 RGB, square, at least as large as its box.
        places: one box each.
    """
    canvas = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for image, box in zip(images, places, strict=True):
        canvas[box.top : box.top + box.size, box.left : box.left + box.size] = shrink(image, box.size)
    return canvas


def shrink(image: np.ndarray, size: int) -> np.ndarray:
    """[size, size, 3] uint8: each pixel the mean of the area it covers, by whole numbers, halves rounded up.

    Args:
        image: [H, H, 3] uint8.
        size: 1 to H.
    """
    height = image.shape[0]
    starts = np.arange(size)[:, None] * height  # in units of 1/size of a pixel of the image
    cells = np.arange(height)[None, :] * size
    cover = np.minimum(starts + height, cells + size) - np.maximum(starts, cells)
    # Whole numbers below 255 * H * H, which float64 holds exactly: the products are fast, and equal in any order.
    weights = np.maximum(cover, 0).astype(np.float64)  # [size, H], rows sum to H
    across = weights @ image.transpose(2, 0, 1).astype(np.float64)  # [3, size, H]
    total = (across @ weights.T).transpose(1, 2, 0).astype(np.int64)
    area = height * height
    return ((2 * total + area) // (2 * area)).astype(np.uint8)
