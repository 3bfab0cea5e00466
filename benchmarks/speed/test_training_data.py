"""Speed of reading photographs to train on, against a bare Pillow loop that decodes and resizes the same files.

Run with: .venv/bin/python -m pytest benchmarks/speed/test_training_data.py --benchmark-only
One thread reads a folder of JPEGs, 224 pixels at the short side, for a model of 128. Both are timed in turns in
processor time, which a busy machine changes less; the ratio of the medians is asserted and stands in `extra_info`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spae.data.datasets.image_folder import open_folder
from spae.data.datasets.indexed import IndexedData
from spae.data.spec import parse_data_spec
from spae.data.transforms import ImageLoader

IMAGES, BATCH, SIDE, ROUNDS = 96, 32, 128, 5
MOST = 1.5
"""Times the bare loop: the crop's chance, float pixels in [-1, 1] and the queue are ours, not the loop's."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth noise, which JPEG packs about as well as photographs."""
    root = tmp_path_factory.mktemp("photographs")
    chance = np.random.default_rng(0)
    for number in range(IMAGES):
        folder = root / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        coarse = Image.fromarray(chance.integers(0, 256, (28, 37, 3), dtype=np.uint8))
        coarse.resize((298, 224), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)
    return root


def test_folder_of_jpegs(benchmark: Callable[..., object], photographs: Path) -> None:
    files = sorted(photographs.rglob("*.jpg"))
    source = open_folder(parse_data_spec(f"folder:{photographs}"), None, None)
    # Nothing is prepared ahead: what a thread does while the other side is timed would count for it.
    data = IndexedData(source, ImageLoader(SIDE), batch=BATCH, seed=0, workers=1, ahead=0)
    steps = IMAGES // BATCH

    def bare() -> None:
        for file in files:
            with Image.open(file) as image:
                np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))

    done = 0

    def ours() -> None:
        nonlocal done
        for step in range(done, done + steps):
            data.at(step)
        done += steps

    def seconds(function: Callable[[], None]) -> float:
        start = time.process_time()
        function()
        return time.process_time() - start

    seconds(bare), seconds(ours)
    pairs = [(seconds(bare), seconds(ours)) for _ in range(ROUNDS)]
    limit, taken = (statistics.median(times) for times in zip(*pairs, strict=True))
    benchmark.extra_info.update(  # type: ignore[attr-defined]
        images_a_second=round(IMAGES / taken), bare=round(IMAGES / limit), times_bare_loop=round(taken / limit, 2)
    )
    benchmark(ours)
    data.close()
    assert taken <= MOST * limit, f"{taken / limit:.2f} times the bare loop"
