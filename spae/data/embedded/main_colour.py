"""The name of the colour that most of a pictogram is painted in, if one clearly dominates.

Integer arithmetic throughout, so that every machine sees the same colours. What lies between two names (a hue at 70
degrees is neither yellow nor green) counts against all of them: an image of such hues has no main colour.

H rows, W columns.
"""

from __future__ import annotations

import numpy as np

LEAST_PIXELS = 200  # of 64x64: a few painted pixels are an outline
SHARE = (2, 3)  # of the painted pixels that must be of one name

# name: (first degree, last degree, least value, most value), hue by the hexagonal wheel, value = largest of r, g, b.
HUES: dict[str, tuple[int, int, int, int]] = {
    "red": (346, 371, 150, 255),  # over 360: through zero, to 11
    "brown": (8, 38, 60, 160),
    "orange": (17, 33, 200, 255),
    "yellow": (45, 62, 190, 255),
    "green": (80, 165, 60, 255),
    "blue": (190, 250, 80, 255),
    "purple": (262, 300, 80, 255),
    "pink": (308, 342, 180, 255),
}


def main_colour(image: np.ndarray) -> str | None:
    """The name of the colour of two thirds or more of what is painted; None where no colour has so much.

    Args:
        image: [H, W, 3] uint8 RGB on white. Near-white pixels count as not painted.
    """
    rgb = image.reshape(-1, 3).astype(np.int64)
    painted = rgb[rgb.min(1) < 235]
    if len(painted) < LEAST_PIXELS:
        return None
    for name, count in sorted(_counts(painted).items()):
        if count * SHARE[1] >= len(painted) * SHARE[0]:
            return name
    return None


def _counts(rgb: np.ndarray) -> dict[str, int]:
    """Name -> how many of the pixels [P, 3] have that colour; a pixel has one at most."""
    value, least = rgb.max(1), rgb.min(1)
    spread = value - least
    black = value < 70
    grey = ~black & (spread * 8 < value) & (value < 200)
    vivid = ~black & (spread * 3 >= value)  # a third of full saturation, so that skin and cream have no hue
    hue = _hue(rgb, value, spread)
    counts = {"black": int(black.sum()), "grey": int(grey.sum())}
    for name, (first, last, low, high) in HUES.items():
        inside = ((hue >= first) & (hue <= last)) | ((hue + 360 >= first) & (hue + 360 <= last))
        counts[name] = int((vivid & inside & (value >= low) & (value <= high)).sum())
    return counts


def _hue(rgb: np.ndarray, value: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """[P] whole degrees in 0..359, 0 where the pixel is grey."""
    red, green, blue = rgb[:, 0], rgb[:, 1], rgb[:, 2]
    safe = np.maximum(spread, 1)
    degrees = np.where(
        value == red,
        60 * (green - blue) // safe,
        np.where(value == green, 120 + 60 * (blue - red) // safe, 240 + 60 * (red - green) // safe),
    )
    hue: np.ndarray = degrees % 360
    return hue
