"""Decoding of single files: every mode a user may have, and files made to break a reader."""

from __future__ import annotations

import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps

from spae.data.image_file import MAX_PIXELS, check_header, image_paths, read_image
from spae.data.transforms import ImageLoader
from spae.errors import CorruptImage
from tests.spae.test_regular_file import special_file


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG written out by hand, so that the oracle is the format and not the library."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def read(path) -> np.ndarray:
    check_header(path, path.name)
    pixels = read_image(path, path.name)
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.flags.writeable
    return pixels


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "webp", "jpg", "JPEG"])
def test_five_formats(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (6, 4), (200, 30, 60)).save(path, quality=95)
    pixels = read(path)
    assert pixels.shape == (4, 6, 3)
    assert np.abs(pixels.astype(int) - [200, 30, 60]).max() <= 6  # JPEG and WebP lose a little


def test_exif_orientation_turns_the_image(tmp_path):
    pixels = np.zeros((8, 16, 3), dtype=np.uint8)
    pixels[:, :8] = 255  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate 90 degrees clockwise to view": left becomes top
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    turned = read(tmp_path / "a.jpg")
    assert turned.shape == (16, 8, 3) and turned[:7].min() > 240 and turned[9:].max() < 15


def test_alpha_is_composited_on_white(tmp_path):
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = [0, 128, 255]  # black, at three opacities
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0, :, 0].tolist() == [255, 127, 0]


def test_grey_with_alpha(tmp_path):
    alpha = Image.new("L", (2, 1))
    alpha.putpixel((1, 0), 255)
    Image.merge("LA", [Image.new("L", (2, 1), 7), alpha]).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").tolist() == [[[255] * 3, [7] * 3]]


def test_palette_with_a_transparent_entry(tmp_path):
    palette = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60])) + chunk(b"tRNS", bytes([0]))
    (tmp_path / "a.png").write_bytes(png(2, 1, 8, 3, bytes([0, 0, 1]), palette))
    assert read(tmp_path / "a.png").tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    rows = b"\0" + struct.pack(">4H", 0, 300, 32768, 65535)
    (tmp_path / "a.png").write_bytes(png(4, 1, 16, 0, rows))
    assert read(tmp_path / "a.png")[0, :, 1].tolist() == [0, 1, 128, 255]


def test_sixteen_bit_colour(tmp_path):
    rows = b"\0" + struct.pack(">3H", 0x1234, 0x80FF, 0xFFFF)
    (tmp_path / "a.png").write_bytes(png(1, 1, 16, 2, rows))
    assert np.abs(read(tmp_path / "a.png")[0, 0].astype(int) - [0x12, 0x80, 0xFF]).max() <= 1


def test_one_bit(tmp_path):
    (tmp_path / "a.png").write_bytes(png(8, 1, 1, 0, bytes([0, 0b10100000])))
    assert read(tmp_path / "a.png")[0, :4, 0].tolist() == [255, 0, 255, 0]


def test_cmyk(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)  # no cyan: red
    assert np.abs(read(tmp_path / "a.jpg").astype(int) - [255, 0, 0]).max() < 8


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read(tmp_path / "a.gif") == [255, 0, 0]).all()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello, this is text", id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n", id="png-signature-only"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", id="postscript"),
        pytest.param(b"II*\0\x08\0\0\0\0\0\0\0\0\0", id="tiff"),
    ],
)
def test_header_of_no_image(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    for reader in (check_header, read_image):
        with pytest.raises(CorruptImage, match=r"^image cats/a\.png does not decode") as caught:
            reader(tmp_path / "a.png", "cats/a.png")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp"])
def test_cut_file_is_corrupt(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{suffix}")
    whole = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"a.{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptImage, match=rf"a\.{suffix}"):
        read_image(tmp_path / f"a.{suffix}", f"a.{suffix}")


@pytest.mark.parametrize("side", [pytest.param(10_000, id="100-megapixel"), pytest.param(60_000, id="3600-megapixel")])
def test_claimed_size_is_refused_before_decoding(tmp_path, side):
    assert side * side > MAX_PIXELS
    (tmp_path / "a.png").write_bytes(png(side, side, 8, 2, b""))
    with pytest.raises(CorruptImage, match="at most 64,000,000"):
        check_header(tmp_path / "a.png", "a.png")
    with pytest.raises(CorruptImage, match="at most 64,000,000"):
        read_image(tmp_path / "a.png", "a.png")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CorruptImage, match=r"gone\.png"):
        read_image(tmp_path / "gone.png", "gone.png")


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.JPG", "deep/er/c.webp", ".hidden.png", ".git/d.png", "notes.txt"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def test_a_folder_gives_its_images_by_name(folder):
    paths, wrong = image_paths([folder])
    assert [str(path.relative_to(folder)) for path in paths] == ["a.JPG", "b.png", "deep/er/c.webp"] and not wrong


def test_each_once_in_the_order_named(folder):
    paths, wrong = image_paths([folder / "b.png", folder / "notes.txt", folder, folder / "b.png"])
    assert [path.name for path in paths] == ["b.png", "notes.txt", "a.JPG", "c.webp"] and not wrong


def test_names_without_images_are_reported(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    paths, wrong = image_paths([tmp_path / "gone.png", tmp_path / "empty", folder / "b.png"])
    assert [path.name for path in paths] == ["b.png"]
    assert [str(error).split(":")[0] for error in wrong] == [
        f"there is no image or folder {tmp_path}/gone.png",
        f"folder {tmp_path}/empty holds no image (.bmp, .gif, .jpeg, .jpg, .png, .webp)",
    ]


def test_links_stay_inside(folder, tmp_path):
    (tmp_path / "secret.png").touch()
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "in.png").symlink_to(folder / "b.png")
    (folder / "loop").symlink_to(folder)
    (folder / "broken.png").symlink_to(folder / "gone.png")
    paths, wrong = image_paths([folder])
    assert [path.name for path in paths] == ["a.JPG", "b.png", "broken.png", "c.webp", "in.png"]
    assert len(wrong) == 1 and "out.png leads out of" in str(wrong[0])


def damaged_exif() -> dict[str, bytes]:
    """EXIF blocks that make Pillow raise or warn: (name, bytes)."""
    tag = struct.pack("<HHII", 0x0112, 3, 1, 6)
    return {
        "no-tiff": b"garbage",
        "cut": b"II*\0\x08\0\0\0\x05\0" + tag[:5],
        "offset": b"II*\0\xff\xff\xff\x7f",
        "huge-count": b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 4, 0x40000000, 0xFFFFFFF0),
        "text": b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI4s", 0x0112, 2, 4, b"six\0") + b"\0" * 4,
        "nine": b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 3, 1, 9) + b"\0" * 4,
        "empty": b"",
    }


PIXELS = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def with_exif(path, exif: bytes) -> None:
    """A file of PIXELS with this EXIF, put in byte by byte."""
    image = Image.fromarray(PIXELS)
    if path.suffix == ".png":
        rows = b"".join(b"\0" + row.tobytes() for row in PIXELS)
        path.write_bytes(png(9, 6, 8, 2, rows, chunk(b"eXIf", exif)))
    else:
        image.save(path, exif=exif or b" ", **({"lossless": True} if path.suffix == ".webp" else {"quality": 100}))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
@pytest.mark.parametrize("kind", damaged_exif())
def test_unreadable_orientation_means_upright(tmp_path, kind, suffix):
    """Neither an error nor a warning: pytest makes an error of each."""
    path = tmp_path / f"a{suffix}"
    with_exif(path, damaged_exif()[kind])
    seen = read(path)
    assert seen.shape == PIXELS.shape and (suffix == ".jpg" or np.array_equal(seen, PIXELS))
    loaded = ImageLoader(6).load(path, path.name, None)
    assert loaded.shape == (6, 6, 3)


@pytest.mark.parametrize("keyword", ["exif", "xmp", "Raw profile type exif", "XML:com.adobe.xmp"])
def test_text_chunk_named_like_metadata_means_nothing(tmp_path, keyword):
    rows = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    text = chunk(b"tEXt", keyword.encode() + b"\0" + b"zz\nzz\nzz\nzz")
    (tmp_path / "a.png").write_bytes(png(9, 6, 8, 2, rows, text))
    assert np.array_equal(read(tmp_path / "a.png"), PIXELS)


@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation(tmp_path, value):
    """Against Pillow's own way to turn an image upright."""
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read(tmp_path / "a.png"), expected)


def test_filters_of_warnings_are_as_before_whatever_threads_do(tmp_path):
    with_exif(tmp_path / "a.png", damaged_exif()["cut"])
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: read(tmp_path / "a.png"), range(40)))
    assert warnings.filters == before


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_special_file_is_no_image(tmp_path, kind):
    path = special_file(tmp_path / "a.png", kind)
    for reader in (check_header, read_image):
        with pytest.raises(CorruptImage, match=f"it is {kind}, expected an ordinary file"):
            reader(path, "a.png")
