"""Frames out of videos that PyAV writes here: which ones, the same crop in all, and files that are no video."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from spae.data.datasets import video_file
from spae.data.datasets.video_file import VideoLoader
from spae.errors import CorruptImage, InputError

av = pytest.importorskip("av")
SIDE = 66  # six bands of eleven rows


def video(path: Path, frames: int, rate: int = 25, size: tuple[int, int] = (SIDE, SIDE), kind: str = "mpeg4") -> Path:
    """Frames whose right half tells their number: six bands, white for 1 and black for 0. The left half is black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(kind, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = 6
        stream.time_base = Fraction(1, rate)
        for number in range(frames):
            bands = np.repeat([number >> bit & 1 for bit in range(6)], size[1] // 6) * 255
            pixels = np.repeat(bands.astype(np.uint8)[:, None, None], size[0], 1).repeat(3, 2)
            pixels[:, : size[0] // 2] = 0
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def numbers(taken: np.ndarray) -> list[int]:
    """Which frame of the video each frame taken is."""
    middles = (np.arange(6) + 0.5) * (SIDE // 6) / SIDE * taken.shape[1]
    white = taken[:, middles.astype(int)].max((2, 3)) > 128
    return (white @ (1 << np.arange(6))).tolist()


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    return video(tmp_path_factory.mktemp("videos") / "a.mp4", 50)


@pytest.mark.parametrize(
    ("frames", "stride", "first"),
    [pytest.param(16, 1, 17, id="16"), pytest.param(8, 3, 14, id="stride"), pytest.param(50, 1, 0, id="all")],
)
def test_evaluation_takes_the_middle_frames(short, frames, stride, first):
    taken = VideoLoader(24, frames, stride).load(short, "a.mp4", None)
    assert taken.shape == (frames, 24, 24, 3) and taken.dtype == np.uint8
    assert numbers(taken) == list(range(first, first + frames * stride, stride))


def test_random_starts_reach_both_ends(short):
    starts = set()
    for seed in range(40):
        found = numbers(VideoLoader(24, 40, strength=0.0).load(short, "a.mp4", np.random.default_rng(seed)))
        assert found == list(range(found[0], found[0] + 40))
        starts.add(found[0])
    assert starts == set(range(11))


def test_same_seed_gives_same_frames(short):
    one, other = (VideoLoader(24, 8).load(short, "a.mp4", np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, other)


def test_one_crop_for_all_frames(short):
    for seed in range(8):
        taken = VideoLoader(24, 8).load(short, "a.mp4", np.random.default_rng(seed))
        # Where the black half ends, read off the columns of each frame that has a white band in view.
        edges = {tuple(np.flatnonzero(frame.max((0, 2)) > 128)) for frame in taken} - {()}
        assert len(edges) == 1


@pytest.mark.parametrize(
    ("name", "kind"), [("a.avi", "mpeg4"), ("a.mkv", "mpeg4"), ("a.webm", "libvpx"), ("a.MOV", "mpeg4")]
)
def test_containers(tmp_path, name, kind):
    if kind not in av.codecs_available:
        pytest.skip(f"this PyAV has no {kind}")
    path = video(tmp_path / name, 30, kind=kind)
    assert numbers(VideoLoader(24, 10).load(path, name, None)) == list(range(10, 20))
    assert numbers(VideoLoader(24, 10).load(io.BytesIO(path.read_bytes()), name, None)) == list(range(10, 20))


def test_wide_video_is_cropped_in_the_middle(tmp_path):
    taken = VideoLoader(24, 4).load(video(tmp_path / "a.mp4", 8, size=(132, 66)), "a.mp4", None)
    assert taken[1, :, :11].max() < 30 and taken[1, 1:3, 13:].min() > 200  # frame 3 of 8: its first band is white


def test_too_short_video_is_corrupt(tmp_path):
    path = video(tmp_path / "a.mp4", 9)
    assert len(VideoLoader(24, 9).load(path, "a.mp4", None)) == 9
    with pytest.raises(CorruptImage, match="has 9 frames, 10 are needed"):
        VideoLoader(24, 10).load(path, "a.mp4", None)
    with pytest.raises(CorruptImage, match="9 frames, 11 are needed for 6 at stride 2: remove it, or lower"):
        VideoLoader(24, 6, 2).load(path, "a.mp4", None)


@pytest.mark.parametrize("part", [0.3, 0.7, 0.97], ids=str)
def test_cut_video_is_corrupt(tmp_path, short, part):
    content = short.read_bytes()
    (tmp_path / "a.mp4").write_bytes(content[: int(len(content) * part)])
    with pytest.raises(CorruptImage, match=r"^cats/a\.mp4 ") as caught:
        VideoLoader(24, 16).load(tmp_path / "a.mp4", "cats/a.mp4", None)
    assert "\n" not in str(caught.value)


def test_wrong_length_in_header_falls_back_to_counting(tmp_path, short, monkeypatch):
    """The header tells of more frames than there are: frames are taken from those that are there."""
    whole = video_file.VideoLoader._start
    monkeypatch.setattr(VideoLoader, "_start", lambda self, video, moment: whole(self, video, moment) + 1)
    assert numbers(VideoLoader(24, 16).load(short, "a.mp4", None)) == list(range(17, 33))


def test_without_a_length_frames_are_counted(short, monkeypatch):
    monkeypatch.setattr(VideoLoader, "_start", lambda self, video, moment: None)
    assert numbers(VideoLoader(24, 16).load(short, "a.mp4", None)) == list(range(17, 33))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello, this is text" * 20, id="text"),
        pytest.param(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", id="playlist"),
        pytest.param(b"ffconcat version 1.0\nfile /etc/passwd\n", id="concat"),
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_files_that_are_no_video_are_corrupt(tmp_path, content, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(content)
    with pytest.raises(CorruptImage, match=rf"^a\.{suffix} "):
        VideoLoader(24, 4).load(tmp_path / f"a.{suffix}", f"a.{suffix}", None)


def test_missing_file_and_other_suffix(tmp_path):
    with pytest.raises(CorruptImage, match=r"^gone\.mp4 does not decode"):
        VideoLoader(24, 4).load(tmp_path / "gone.mp4", "gone.mp4", None)
    with pytest.raises(CorruptImage, match=r"a\.m3u8 is none of"):
        VideoLoader(24, 4).load(tmp_path / "a.m3u8", "a.m3u8", None)


def test_file_without_video_is_corrupt(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(CorruptImage, match="holds no video"):
        VideoLoader(24, 4).load(tmp_path / "a.mp4", "a.mp4", None)


def test_more_pixels_than_are_read(short, monkeypatch):
    monkeypatch.setattr(video_file, "MAX_PIXELS", SIDE * SIDE - 1)
    with pytest.raises(CorruptImage, match="66x66 pixels"):
        VideoLoader(24, 4).load(short, "a.mp4", None)


def test_without_the_package(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r'pip install "spae-bench\[data\]"'):
        video_file.video_library()
