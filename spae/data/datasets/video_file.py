"""Frames of a video file: at a stride, from a random start or around the middle of the video.

Decoded by PyAV (extra: data). T frames, S side, W H the video's size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from spae.data.image_file import MAX_PIXELS
from spae.data.transforms import Crop, center_crop, random_crop, resized_crop
from spae.errors import CorruptImage, InputError
from spae.regular_file import open_regular

# A container is read as its suffix says: left to guess, the library would take a text file called .mp4 for a playlist
# and fetch the addresses in it.
FORMATS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mp4", ".webm": "matroska", ".mkv": "matroska", ".avi": "avi",
}  # fmt: skip
VIDEO_SUFFIXES = frozenset(FORMATS)
MOST_FRAMES = 100_000
"""Decoded of one file at most: a video of an hour."""


def video_library() -> Any:
    """The package `av`. Raises InputError that names the install line."""
    try:
        import av
    except ImportError as error:
        raise InputError(
            'videos need the package av, which is not installed: pip install "spae-bench[data]"'
        ) from error
    return av


class _TooShort(Exception):
    """Fewer frames follow a start than the loader takes."""


@dataclass(frozen=True)
class VideoLoader:
    """Decodes frames of one video.

    Args:
        size: S.
        frames: T.
        stride: frames of the video from one taken to the next.
        strength: of the random crop, the same for all frames.
    """

    size: int
    frames: int
    stride: int = 1
    strength: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array that `load` returns."""
        return (self.frames, self.size, self.size, 3)

    @property
    def span(self) -> int:
        """Frames of the video from the first taken to the last."""
        return (self.frames - 1) * self.stride + 1

    def load(self, source: Path | BinaryIO, shown: str, rng: np.random.Generator | None) -> np.ndarray:
        """[T, S, S, 3] uint8.

        Args:
            rng: samples start and crop; None takes the center of both.

        Raises:
            CorruptImage: the file does not decode, or is too short.
        """
        av = video_library()
        kind = FORMATS.get(Path(shown).suffix.lower())
        if kind is None:
            raise CorruptImage(f"{shown} is none of {', '.join(sorted(FORMATS))}: convert it")
        moment = 0.5 if rng is None else float(rng.random())
        try:
            if isinstance(source, Path):
                with open_regular(source) as stream:
                    return self._read(av, stream, kind, shown, moment, rng)
            return self._read(av, source, kind, shown, moment, rng)
        except (av.FFmpegError, OSError, ValueError, EOFError, MemoryError, OverflowError, IndexError) as error:
            reason = getattr(error, "strerror", None) or str(error).split("\n")[0] or type(error).__name__
            raise CorruptImage(f"{shown} does not decode ({reason}): replace it or remove it") from error

    def _read(
        self, av: Any, stream: BinaryIO, kind: str, shown: str, moment: float, rng: np.random.Generator | None
    ) -> np.ndarray:
        with av.open(stream, format=kind) as container:
            if not container.streams.video:
                raise CorruptImage(f"{shown} holds no video: remove it")
            video = container.streams.video[0]
            # One thread a file: the pool decodes several at once.
            video.thread_type = "NONE"
            width, height = video.codec_context.width, video.codec_context.height
            if not 0 < width * height <= MAX_PIXELS:
                raise CorruptImage(f"{shown} has {width}x{height} pixels, 1 to {MAX_PIXELS:,} are read: remove it")
            crop = center_crop(width, height) if rng is None else random_crop(width, height, rng, self.strength)
            start = self._start(video, moment)
            if start is not None:
                try:
                    container.seek(int(start / video.time_base) + (video.start_time or 0), stream=video, backward=True)
                    return self._taken(self._from(container, video, start), crop)
                except (_TooShort, av.FFmpegError):
                    # The header's length was wrong, or the file cannot be rewound: all of it is decoded instead.
                    container.seek(video.start_time or 0, stream=video, backward=True)
            return self._counted(container, video, crop, shown, moment)

    def _start(self, video: Any, moment: float) -> Fraction | None:
        """Seconds from the video's beginning to the first frame taken; None where the header lacks the length."""
        if not video.duration or not video.average_rate or not video.time_base:
            return None
        frame = 1 / Fraction(video.average_rate)
        room = video.duration * video.time_base - self.span * frame
        # Whole frames, so that a start is a frame's own time.
        return frame * int(moment * (int(room / frame) + 1)) if room >= 0 else None

    def _from(self, container: Any, video: Any, start: Fraction) -> Iterator[Any]:
        """Decoded frames whose time is not before `start`, half a frame's grace."""
        begin = start - Fraction(1, 2) / Fraction(video.average_rate)
        first = (video.start_time or 0) * video.time_base
        for frame in container.decode(video):
            if frame.pts is None:
                raise _TooShort
            if frame.pts * video.time_base - first >= begin:
                yield frame

    def _counted(self, container: Any, video: Any, crop: Crop, shown: str, moment: float) -> np.ndarray:
        """Without a length to go by: the frames are counted first, then decoded again."""
        count = 0
        for _ in container.decode(video):
            count += 1
            if count >= MOST_FRAMES:
                break
        if count < self.span:
            wanted = f"{self.span} are needed for {self.frames} at stride {self.stride}"
            raise CorruptImage(f"{shown} has {count} frames, {wanted}: remove it, or lower the stride")
        skip = int(moment * (count - self.span + 1))
        container.seek(video.start_time or 0, stream=video, backward=True)
        frames = container.decode(video)
        for _ in range(skip):
            next(frames)
        try:
            return self._taken(frames, crop)
        except _TooShort as error:
            raise CorruptImage(f"{shown} does not decode twice alike: replace it or remove it") from error

    def _taken(self, frames: Iterator[Any], crop: Crop) -> np.ndarray:
        taken = np.empty(self.shape, dtype=np.uint8)
        for number, frame in enumerate(frames):
            place, between = divmod(number, self.stride)
            if between:
                continue
            taken[place] = resized_crop(frame.to_image(), crop, self.size)
            if place == self.frames - 1:
                return taken
        raise _TooShort
