"""A photograph as a model takes it: a random crop, mirrored or not, in training; the middle square in evaluation.

W H its size, S the model's side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from spae.data.image_file import ORIENTATION, opened_image, upright_rgb

LEAST_AREA = 0.35
"""Share of the image's area in the smallest crop. The paper prints none; this keeps most of an object in view."""
ASPECT = math.log(4 / 3)
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in shares of width and height."""


@dataclass(frozen=True)
class Framing:
    """What part of an image is seen."""

    box: Box
    mirrored: bool


def middle(width: int, height: int) -> Framing:
    """The largest square in the middle."""
    side = min(width, height)
    x, y = (width - side) / 2 / width, (height - side) / 2 / height
    return Framing((x, y, 1 - x, 1 - y), False)


def random_framing(width: int, height: int, chance: np.random.Generator, strength: float) -> Framing:
    """A crop of random area, shape and place, mirrored half of the time.

    Args:
        strength: 1: area from LEAST_AREA to 1, sides from 3:4 to 4:3; 0: the middle square, mirrored or not.

    """
    area, aspect, x, y, mirror = chance.random(5).tolist()
    if not strength:
        return Framing(middle(width, height).box, mirror < 0.5)
    least = max(0.05, 1 - (1 - LEAST_AREA) * strength)
    wanted = (least + (1 - least) * area) * width * height
    ratio = math.exp((2 * aspect - 1) * ASPECT * min(strength, 1.0))
    # A crop that would stick out is cut to the image's side: its shape then leaves the sampled range, as in a panorama.
    w, h = min(math.sqrt(wanted * ratio), width), min(math.sqrt(wanted / ratio), height)
    left, top = x * (width - w), y * (height - h)
    return Framing((left / width, top / height, (left + w) / width, (top + h) / height), mirror < 0.5)


def framed(image: Image.Image, framing: Framing, size: int) -> np.ndarray:
    """[S, S, 3] uint8 of an RGB image."""
    left, top, right, bottom = framing.box
    box = (left * image.width, top * image.height, right * image.width, bottom * image.height)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
    return pixels[:, ::-1] if framing.mirrored else pixels


@dataclass(frozen=True)
class ImageLoader:
    """Decodes one image.

    Args:
        size: S.
        strength: of the random crop.
    """

    size: int
    strength: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what `load` gives."""
        return (self.size, self.size, 3)

    def load(self, source: Path | BinaryIO, shown: str, chance: np.random.Generator | None) -> np.ndarray:
        """[S, S, 3] uint8.

        Args:
            chance: of this row; None gives the middle square.

        Raises:
            CorruptImage: it does not decode.
        """
        with opened_image(source, shown) as image:
            width, height = image.size
            if image.getexif().get(ORIENTATION) in SIDEWAYS:
                width, height = height, width
            if chance is None:
                framing = middle(width, height)
            else:
                framing = random_framing(width, height, chance, self.strength)
                if image.format == "JPEG":
                    _draft(image, framing, self.size)
            image.load()
            return framed(upright_rgb(image), framing, self.size)


def _draft(image: Image.Image, framing: Framing, size: int) -> None:
    """Has the JPEG decoder give half, a quarter or an eighth of the size, while the crop stays no smaller than S."""
    left, top, right, bottom = framing.box
    least = min(right - left, bottom - top)
    image.draft(None, (math.ceil(size / least), math.ceil(size / least)))
