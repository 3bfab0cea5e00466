"""Crops of photographs: random and mirrored half of the time in training, the center square in evaluation.

W H its size, S the model's side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from spae.data.image_file import opened_image, orientation, upright_rgb

LEAST_AREA = 0.35
"""Share of the image's area in the smallest crop. The paper prints none; this keeps most of an object in view."""
ASPECT = math.log(4 / 3)
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in shares of width and height."""


@dataclass(frozen=True)
class Crop:
    """The part of an image that is shown."""

    box: Box
    mirrored: bool


def center_crop(width: int, height: int) -> Crop:
    """The largest square in the center."""
    side = min(width, height)
    x, y = (width - side) / 2 / width, (height - side) / 2 / height
    return Crop((x, y, 1 - x, 1 - y), False)


def random_crop(width: int, height: int, rng: np.random.Generator, strength: float) -> Crop:
    """A crop of random area, shape and place, mirrored half of the time.

    Args:
        strength: 1: area from LEAST_AREA to 1, sides from 3:4 to 4:3; 0: the center square, mirrored or not.
    """
    area, aspect, x, y, mirror = rng.random(5).tolist()
    if not strength:
        return Crop(center_crop(width, height).box, mirror < 0.5)
    least = max(0.05, 1 - (1 - LEAST_AREA) * strength)
    wanted = (least + (1 - least) * area) * width * height
    ratio = math.exp((2 * aspect - 1) * ASPECT * min(strength, 1.0))
    # A crop that would stick out is cut to the image's side: its shape then leaves the sampled range, as in a panorama.
    w, h = min(math.sqrt(wanted * ratio), width), min(math.sqrt(wanted / ratio), height)
    left, top = x * (width - w), y * (height - h)
    return Crop((left / width, top / height, (left + w) / width, (top + h) / height), mirror < 0.5)


def resized_crop(image: Image.Image, crop: Crop, size: int) -> np.ndarray:
    """[S, S, 3] uint8: the crop of an RGB image, resized."""
    left, top, right, bottom = crop.box
    box = (left * image.width, top * image.height, right * image.width, bottom * image.height)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
    return pixels[:, ::-1] if crop.mirrored else pixels


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
        """Of the array that `load` returns."""
        return (self.size, self.size, 3)

    def load(self, source: Path | BinaryIO, shown: str, rng: np.random.Generator | None) -> np.ndarray:
        """[S, S, 3] uint8.

        Args:
            rng: of this sample; None gives the center square.

        Raises:
            CorruptImage: it does not decode.
        """
        with opened_image(source, shown) as image:
            width, height = image.size
            if orientation(image) in SIDEWAYS:
                width, height = height, width
            if rng is None:
                crop = center_crop(width, height)
            else:
                crop = random_crop(width, height, rng, self.strength)
                if image.format == "JPEG":
                    _draft(image, crop, self.size)
            image.load()
            return resized_crop(upright_rgb(image), crop, self.size)


def _draft(image: Image.Image, crop: Crop, size: int) -> None:
    """Has the JPEG decoder give half, a quarter or an eighth of the size, while the crop stays no smaller than S."""
    left, top, right, bottom = crop.box
    least = min(right - left, bottom - top)
    image.draft(None, (math.ceil(size / least), math.ceil(size / least)))
