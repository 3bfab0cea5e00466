"""Digits to train on, and IDX files that are none."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import torch

from spae.data.datasets.idx import FILES
from spae.data.datasets.protocol import TrainingData
from spae.data.embedded.mnist import load_mnist_sample
from spae.data.embedded.mnist_training import open_mnist
from spae.data.opening import open_set
from spae.data.protocol import ImageSet
from spae.errors import DataError


def test_padded_and_unchanged():
    data = open_mnist("", size=32, batch=5, seed=1)
    assert isinstance(data, TrainingData) and data.classes[7] == "seven" and data.unnamed == 0
    batch, sample = data.at(3), load_mnist_sample()
    assert batch.images.shape == (5, 3, 32, 32)
    for image, label, name in zip(batch.images, batch.labels.tolist(), batch.names, strict=True):
        row = int(name.removeprefix("train/"))
        assert label == sample.train_labels[row]
        pixels = ((image + 1) * 127.5).round().byte().numpy()
        assert (pixels == pixels[0]).all() and np.array_equal(pixels[0, 2:30, 2:30], sample.train_images[row])
        assert pixels[0].sum() == pixels[0, 2:30, 2:30].sum()  # the border is black


def test_order_and_slices():
    data = open_mnist("", size=28, batch=300, seed=1)
    names = [name for step in range(7) for name in data.at(step).names]
    assert len(set(names[:2000])) == 2000
    assert torch.equal(data.at(9, slice(100, 200)).images, data.at(9).images[100:200])
    assert data.at(0).names != open_mnist("", size=28, batch=300, seed=2).at(0).names


def test_held_out_are_the_test_digits():
    data = open_mnist("", size=32, batch=5, seed=1)
    assert len(data.held_out()) == 1000 and len(data.held_out(10)) == 10 and len(data.held_out(None)) == 1000
    assert data.held_out(10).names[0] == "test/00000"
    assert data.held_out().labels.bincount().tolist() == [100] * 10


def test_too_small():
    with pytest.raises(DataError, match="at least 28, got 16"):
        open_mnist("", size=16, batch=5, seed=1)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def four_files(folder, packed: bool = False, dots: bool = False):
    chance = np.random.default_rng(0)
    for name in FILES:
        count = 30 if name.startswith("train") else 10
        array = chance.integers(0, 256, (count, 28, 28)) if "images" in name else np.arange(count) % 10
        content = idx(array.astype(np.uint8))
        spelled = name.replace("-idx", ".idx") if dots else name
        (folder / (spelled + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dots", [True, False])
def test_the_four_files(tmp_path, packed, dots):
    four_files(tmp_path, packed, dots)
    data = open_mnist(str(tmp_path), size=32, batch=4, seed=0)
    assert "30 digits to train on, 10 held out" in data.title and data.held_out().labels.tolist() == list(range(10))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(FILES[0], b"", id="empty"),
        pytest.param(FILES[0], b"hello", id="text"),
        pytest.param(FILES[0], bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"x", id="claims-much"),
        pytest.param(FILES[0], bytes([0, 0, 13, 1]) + struct.pack(">I", 4) + b"1234", id="floats"),
        pytest.param(FILES[0], bytes([0, 0, 8, 255]), id="dimensions"),
        pytest.param(FILES[0] + ".gz", b"\x1f\x8b no gzip", id="gzip"),
        pytest.param(FILES[0], idx(np.zeros((30, 27, 28), np.uint8)), id="size"),
        pytest.param(FILES[1], idx(np.zeros(29, np.uint8)), id="fewer-labels"),
        pytest.param(FILES[1], idx(np.full(30, 10, np.uint8)), id="label-10"),
    ],
)
def test_refused(tmp_path, name, content):
    four_files(tmp_path)
    (tmp_path / name.removesuffix(".gz")).unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_mnist(str(tmp_path), size=32, batch=4, seed=0)
    assert "\n" not in str(caught.value) and "download" in str(caught.value)


def test_missing(tmp_path):
    with pytest.raises(DataError, match="has no train-images-idx3-ubyte"):
        open_mnist(str(tmp_path), size=32, batch=4, seed=0)


def test_evaluation_reads_the_same_files(tmp_path):
    four_files(tmp_path)
    one, trained = open_set(f"mnist:{tmp_path}"), open_mnist(str(tmp_path), size=28, batch=30, seed=0)
    assert isinstance(one, ImageSet) and one.name == f"mnist:{tmp_path}" and not one.embedded
    assert [len(each.support) for each in one.classes] == [3] * 10 and sum(
        len(each.query) for each in one.classes
    ) == 10
    batch = trained.at(0)
    for image, label, name in zip(batch.images, batch.labels.tolist(), batch.names, strict=True):
        assert name in one.classes[label].support
        assert np.array_equal(one.image(name), ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())
    (tmp_path / FILES[0]).unlink()
    with pytest.raises(DataError, match="has no train-images-idx3-ubyte"):
        open_set(f"mnist:{tmp_path}")
