"""Image files of users: found by path, checked by their headers, decoded to RGB.

Files are read by the five decoders named here and no other. The first frame of an animation is the image. Colour
profiles are not applied.
"""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from spae.errors import CorruptImage, DataError
from spae.regular_file import UnfitFile, open_regular, read_bytes

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"})
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
# A few kilobytes can claim any size; above this an image is refused by its header, before memory is allocated.
MAX_PIXELS = 64_000_000
MOST_BYTES = 2**29
"""Of a file: a bitmap of so many pixels has half of that."""
ORIENTATION, UPRIGHT = 0x0112, 1
"""The EXIF tag, and its value for an image that is stored as it is seen."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by the tag's value."""
# What Pillow's decoders raise on damaged files, collected from tests with such files.
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
        source: a path, or a stream that can be rewound.
        shown: its name in messages.

    Raises:
        CorruptImage: no image of the five formats, or one of more than MAX_PIXELS.
    """
    with opened_image(source, shown):
        pass


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
        source: a path, or a stream that can be rewound.
        shown: its name in messages.

    Raises:
        CorruptImage: as `check_header`; and for what decoders raise inside the block.
    """
    try:
        with (
            _PILLOW_QUIET,
            open_regular(source, MOST_BYTES) if isinstance(source, Path) else nullcontext(source) as stream,
            Image.open(stream, formats=FORMATS) as image,
        ):
            _check_size(image, shown)
            yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise CorruptImage(_too_large(shown, "more")) from error
    except UnfitFile as error:
        raise CorruptImage(f"image {shown} cannot be read ({error}): remove it from the set") from error
    except DECODE_ERRORS as error:
        raise CorruptImage(_no_image(shown, error)) from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """Turned as its EXIF tag says, transparency on white, 16-bit greys scaled to 8 bits, mode RGB."""
    turn = TURNS.get(orientation(image))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow's own conversion clips such greys at 255, which turns most of them white.
        grey = np.clip(np.asarray(image).astype(np.float64), 0, 65535) * (255 / 65535)
        image = Image.fromarray(np.rint(grey).astype(np.uint8))
    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        image = Image.new("RGBA", pixels.size, "white")
        image.alpha_composite(pixels)
    return image if image.mode == "RGB" else image.convert("RGB")


def orientation(image: Image.Image) -> int:
    """The EXIF tag's value; UPRIGHT where there is none, or EXIF is damaged, which says nothing about the pixels."""
    if image.format != "JPEG":  # which may still be drafted; a PNG may have its EXIF behind the pixels
        image.load()
    try:
        value = image.getexif().get(ORIENTATION)
    except Exception:  # Pillow does not check types and bounds here: struct.error, TypeError, SyntaxError and others
        return UPRIGHT
    return value if isinstance(value, int) else UPRIGHT


class _PillowQuiet(AbstractContextManager[None]):
    """Ignores Pillow's warnings while any thread is in a block: they would cross a progress bar, and change nothing.

    `warnings.catch_warnings` alone would leave the filters of one thread to another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(kind, error, trace)


_PILLOW_QUIET = _PillowQuiet()


def image_bytes(path: Path) -> bytes:
    """All bytes of an image's file. Raises CorruptImage where they cannot be read."""
    try:
        return read_bytes(path, MOST_BYTES)
    except OSError as error:
        raise CorruptImage(f"image {path} cannot be read ({error.strerror}): check the file") from error


def _check_size(image: Image.Image, shown: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise CorruptImage(_too_large(shown, f"{width}x{height}"))


def _too_large(shown: str, seen: str) -> str:
    return f"image {shown} has {seen} pixels, at most {MAX_PIXELS:,} are read: shrink it or remove it"


def _no_image(shown: str, error: BaseException) -> str:
    reason = str(error).split("\n")[0] or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = f"no {', '.join(FORMATS)} data in it"
    return f"image {shown} does not decode ({reason}): replace it or remove it from the set"


def is_inside_name(name: str) -> bool:
    """Whether a file name from data stays below the folder or archive that it is looked up in."""
    pure = PurePosixPath(name)
    plain = bool(name.strip()) and "\\" not in name and "\0" not in name
    return plain and not pure.is_absolute() and ".." not in pure.parts


def stays_inside(path: Path, root: Path) -> bool:
    """Whether a path is below the root once all links are followed. False for one that cannot be followed."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return False


def image_paths(named: Iterable[Path]) -> tuple[list[Path], list[DataError]]:
    """Every image file that is meant, in order, and what is wrong with the rest.

    A file is taken as named, whatever it ends in. Of a folder, all images in it and in its folders are taken by name;
    hidden entries and other files are ignored.

    Returns: paths, each once; and an error for each name that leads to no image.
    """
    found: dict[Path, None] = {}
    wrong: list[DataError] = []
    for path in named:
        if not path.exists():
            wrong.append(DataError(f"there is no image or folder {path}: check the path"))
            continue
        if not path.is_dir():
            found[path] = None
            continue
        inside = [file for file in _files(path, wrong) if file.suffix.lower() in SUFFIXES]
        if not inside:
            wrong.append(DataError(f"folder {path} holds no image ({', '.join(sorted(SUFFIXES))}): name another"))
        found.update(dict.fromkeys(inside))
    return list(found), wrong


def _files(root: Path, wrong: list[DataError]) -> list[Path]:
    """All files below a folder, sorted. Folders behind links are not entered, and files behind links stay inside."""
    files = []
    for path in sorted(root.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(root).parts) or path.is_dir():
            continue
        if path.is_symlink() and not stays_inside(path, root):
            wrong.append(DataError(f"{path} leads out of {root}: copy the image in, links must stay inside"))
            continue
        files.append(path)
    return files
