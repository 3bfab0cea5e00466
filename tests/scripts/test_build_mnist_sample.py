"""The builder of the MNIST sample, on IDX files written by hand."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from spae.data.embedded.mnist import load_mnist_sample

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "build_mnist_sample.py"


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_mnist_sample", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_idx(folder: Path, stem: str, labels: np.ndarray) -> None:
    """Image i of a file is filled with i modulo 256."""
    images = np.broadcast_to((np.arange(len(labels)) % 256).astype(np.uint8)[:, None, None], (len(labels), 28, 28))
    count = len(labels)
    (folder / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x0803, count, 28, 28) + images.tobytes())
    (folder / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x0801, count) + labels.tobytes())


def test_takes_the_first_of_each_label(builder, tmp_path):
    labels = np.arange(3000, dtype=np.int64) % 10
    write_idx(tmp_path, "train", labels.astype(np.uint8))
    write_idx(tmp_path, "t10k", labels[::-1].astype(np.uint8))
    builder.build(tmp_path, tmp_path / "1.npz")
    builder.build(tmp_path, tmp_path / "2.npz")
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    sample = load_mnist_sample(tmp_path / "1.npz")
    assert sample.train_rows.tolist() == list(range(2000)) and sample.test_rows.tolist() == list(range(1000))
    assert sample.test_labels[:3].tolist() == [9, 8, 7]
    assert (sample.train_images[300] == 300 % 256).all()


def test_other_files_are_refused(builder, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\x1f\x8b not unpacked")
    with pytest.raises(SystemExit, match="is no IDX file"):
        builder.build(tmp_path, tmp_path / "1.npz")
