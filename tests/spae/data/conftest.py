"""Small data sets in true formats, made here: each image is one colour that tells which row it is."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spae.data.datasets.indexed import IndexedData
from spae.data.datasets.protocol import TrainingData


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SPAE_CACHE", str(folder))
    return folder


def colour(number: int) -> tuple[int, int, int]:
    """A colour of its own for each of 512 numbers, far enough from the others to survive JPEG."""
    return (number % 8 * 32 + 16, number // 8 % 8 * 32 + 16, number // 64 % 8 * 32 + 16)


def number_of(image: torch.Tensor) -> int:
    """The number whose colour an image [3, ..., S, S] in [-1, 1] has."""
    red, green, blue = ((image.flatten(1).mean(1) + 1) * 127.5).tolist()
    return int(red // 32) + 8 * int(green // 32) + 64 * int(blue // 32)


def image_bytes(number: int, kind: str = "png", size: tuple[int, int] = (12, 10)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour(number)).save(stream, {"jpg": "jpeg"}.get(kind, kind))
    return stream.getvalue()


def class_folders(root: Path, counts: dict[str, int], first: int = 0) -> Path:
    """Class folders of images, numbered in the order of writing."""
    number = first
    for label, count in counts.items():
        (root / label).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            (root / label / f"{number:04d}.png").write_bytes(image_bytes(number))
            number += 1
    return root


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def shard(path: Path, numbers: Sequence[int], classes: int = 2) -> Path:
    """A tar of samples NNNN.png and NNNN.cls, the class being the number modulo `classes`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for number in numbers:
            add(archive, f"{number:04d}.png", image_bytes(number))
            add(archive, f"{number:04d}.cls", str(number % classes).encode())
    return path


class Samples:
    """A `SampleSource` of numbered images in memory. Numbers in `bad` give bytes that are no image."""

    name, title, fingerprint, unnamed = "samples", "samples", "0" * 64, 0
    classes = ("even", "odd")

    def __init__(self, count: int, bad: Sequence[int] = (), held: int = 2, limit: int = 10) -> None:
        from spae.data.datasets.corrupt_files import CorruptFiles

        self.count, self.bad = count, set(bad)
        self.labels = (np.arange(count) % 2).astype(np.int32)
        self.train, self.held_out = np.arange(count - held), np.arange(count - held, count)
        self.corrupt_files = CorruptFiles(count, least=limit)

    def sample_name(self, number: int) -> str:
        return f"sample {number}"

    def content(self, number: int) -> io.BytesIO:
        return io.BytesIO(b"no image" if number in self.bad else image_bytes(number))


@pytest.fixture
def opened() -> Iterator[list[TrainingData]]:
    """What a test opens and wants closed."""
    found: list[TrainingData] = []
    yield found
    for one in found:
        one.close()


def indexed(source: Samples, opened: list[TrainingData], batch: int = 4, seed: int = 0, **more: int) -> IndexedData:
    from spae.data.transforms import ImageLoader

    data = IndexedData(source, ImageLoader(8), batch=batch, seed=seed, **{"workers": 2, **more})
    opened.append(data)
    return data
