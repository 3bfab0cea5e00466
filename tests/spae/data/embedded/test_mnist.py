"""The committed sample of MNIST."""

from __future__ import annotations

import io

import numpy as np
import pytest

from spae.data.embedded import mnist
from spae.data.embedded.mnist import MnistSet, load_mnist_sample
from spae.data.protocol import ImageSet
from spae.errors import DataError


def test_balanced_and_whole():
    sample = load_mnist_sample()
    assert sample.train_images.shape == (2000, 28, 28) and sample.test_images.shape == (1000, 28, 28)
    assert np.bincount(sample.train_labels).tolist() == [200] * 10
    assert np.bincount(sample.test_labels).tolist() == [100] * 10
    assert (np.diff(sample.train_rows) > 0).all() and (np.diff(sample.test_rows) > 0).all()


def test_it_is_the_real_mnist():
    # The first labels of the published files are well known: 5 0 4 1 9 2 1 3 1 4 and 7 2 1 0 4 1 4 9 5 9.
    sample = load_mnist_sample()
    assert sample.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert sample.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert sample.train_rows[:3].tolist() == [0, 1, 2]
    # MNIST's published mean is 0.1307 of the full scale; a sample of 2,000 stays near it.
    assert sample.train_images.mean() / 255 == pytest.approx(0.1307, abs=0.003)
    assert len({image.tobytes() for image in sample.train_images} | {i.tobytes() for i in sample.test_images}) == 3000


def test_set_keeps_train_and_test_apart():
    one = MnistSet()
    assert isinstance(one, ImageSet) and [c.name for c in one.classes] == list("0123456789")
    for each in one.classes:
        assert len(each.support) == 200 and len(each.query) == 100
        assert all(i.startswith("train/") for i in each.support) and all(i.startswith("test/") for i in each.query)
    image = one.image("train/00000")
    assert image.shape == (28, 28, 3) and image.dtype == np.uint8
    assert all(np.array_equal(image[..., k], load_mnist_sample().train_images[0]) for k in range(3))
    assert "train/00000" in one.classes[5].support
    with pytest.raises(DataError, match="no image"):
        one.image("train/99999")


def test_fingerprint_is_stable():
    assert MnistSet().fingerprint == MnistSet().fingerprint and len(MnistSet().fingerprint) == 64


def test_damaged_archives_are_named(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        load_mnist_sample(tmp_path / "missing.npz")
    (tmp_path / "cut.npz").write_bytes(mnist.MNIST_SAMPLE.read_bytes()[:9000])
    with pytest.raises(DataError, match="build_mnist_sample"):
        load_mnist_sample(tmp_path / "cut.npz")
    with np.load(mnist.MNIST_SAMPLE) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(tmp_path / "shape.npz", **{**arrays, "test_images": arrays["test_images"][:5]})
    with pytest.raises(DataError, match=r"test images uint8\[5, 28, 28\]"):
        load_mnist_sample(tmp_path / "shape.npz")
    np.savez(tmp_path / "label.npz", **{**arrays, "train_labels": arrays["train_labels"] * 0})
    with pytest.raises(DataError, match="all ten digits"):
        load_mnist_sample(tmp_path / "label.npz")


class Trap:
    """Says so if it is ever unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_nothing_is_unpickled(tmp_path):
    with np.load(mnist.MNIST_SAMPLE) as archive:
        arrays = {name: archive[name] for name in archive.files}
    buffer = io.BytesIO()
    np.savez(buffer, **{**arrays, "train_images": np.array([Trap()], dtype=object)})
    (tmp_path / "trap.npz").write_bytes(buffer.getvalue())
    with pytest.raises(DataError):
        load_mnist_sample(tmp_path / "trap.npz")


def test_the_sample_is_credited():
    text = mnist.MNIST_SAMPLE.with_name("mnist_sample.LICENSE.md").read_text(encoding="utf-8")
    assert "LeCun" in text and mnist.MNIST_SAMPLE.with_name("licenses").joinpath("CC-BY-SA-3.0.txt").exists()
