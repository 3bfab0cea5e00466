"""One image file of a user's: checked by its header, then decoded to RGB.

Files are read by the five decoders named here and no other. The first frame of an animation is the image. Colour
profiles are not applied.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from spae.errors import CorruptImage

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"})
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
# A few kilobytes can claim any size; above this an image is refused by its header, before memory is asked for.
MAX_PIXELS = 64_000_000
ORIENTATION, UPRIGHT = 0x0112, 1
"""The EXIF tag, and its value for an image that is stored as it is seen."""
# What Pillow raises on damaged files, by experience of its decoders.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
)


def check_header(source: Path | BinaryIO, shown: str) -> None:
    """Opens the file without decoding its pixels.

    Args:
        source: a path, or a stream that can be wound back.
        shown: how messages call it.

    Raises:
        CorruptImage: no image of the five formats, or one of more than MAX_PIXELS.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(source, formats=FORMATS) as image:
                _check_size(image, shown)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise CorruptImage(_too_large(shown, "more")) from error
        except DECODE_ERRORS as error:
            raise CorruptImage(_no_image(shown, error)) from error


def read_image(source: Path | BinaryIO, shown: str) -> np.ndarray:
    """[H, W, 3] uint8 RGB: turned as its EXIF tag says, transparency on white, 16-bit greys scaled to 8 bits.

    Raises:
        CorruptImage: the file does not decode; the message names it.
    """
    with opened_image(source, shown) as image:
        image.load()
        return np.array(upright_rgb(image))


@contextmanager
def opened_image(source: Path | BinaryIO, shown: str) -> Iterator[Image.Image]:
    """The image of a file or of bytes in memory, its header checked and its pixels not yet decoded.

    Args:
        source: a path, or a stream that can be wound back.
        shown: how messages call it.

    Raises:
        CorruptImage: as `check_header`; and for what decoders raise inside the block.
    """
    try:
        with Image.open(source, formats=FORMATS) as image:
            _check_size(image, shown)
            yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise CorruptImage(_too_large(shown, "more")) from error
    except DECODE_ERRORS as error:
        raise CorruptImage(_no_image(shown, error)) from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """Turned as its EXIF tag says, transparency on white, 16-bit greys scaled to 8 bits, mode RGB."""
    # Asked first, for Pillow copies an upright image, too.
    if image.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT:
        image = ImageOps.exif_transpose(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow's own conversion clips such greys at 255, which turns most of them white.
        grey = np.clip(np.asarray(image).astype(np.float64), 0, 65535) * (255 / 65535)
        image = Image.fromarray(np.rint(grey).astype(np.uint8))
    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        image = Image.new("RGBA", pixels.size, "white")
        image.alpha_composite(pixels)
    return image if image.mode == "RGB" else image.convert("RGB")


def _check_size(image: Image.Image, shown: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise CorruptImage(_too_large(shown, f"{width}x{height}"))


def _too_large(shown: str, seen: str) -> str:
    return f"image {shown} has {seen} pixels, at most {MAX_PIXELS:,} are read: shrink it or take it out"


def _no_image(shown: str, error: BaseException) -> str:
    reason = str(error).split("\n")[0] or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = f"no {', '.join(FORMATS)} data in it"
    return f"image {shown} does not decode ({reason}): replace it or take it out of the set"
