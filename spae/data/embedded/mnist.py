"""MNIST: a committed sample of 2,000 training and 1,000 test digits, or the four IDX files of all of it.

`scripts/build_mnist_sample.py` makes the sample; `mnist_sample.LICENSE.md` names its authors.

N digits.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spae.data.datasets.idx import FILES, read_idx
from spae.data.protocol import ClassImages, hashed_text
from spae.errors import DataError
from spae.regular_file import MOST_INDEX, read_bytes

MNIST_SAMPLE = Path(__file__).with_name("mnist_sample.npz")
REBUILD = "restore the file from the repository or run scripts/build_mnist_sample.py"
SIDE = 28


@dataclass(frozen=True, eq=False)
class Digits:
    """Training and test digits.

    Attributes:
        train_images: [N, 28, 28] uint8, white strokes on black.
        train_labels: [N] uint8, 0 to 9.
        train_rows: [N] int32, row numbers in the full training file.
        test_images, test_labels, test_rows: the same of the test file.
        fingerprint: sha256 of the file, or of the arrays of the IDX files.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    train_rows: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    test_rows: np.ndarray
    fingerprint: str


@functools.lru_cache(maxsize=2)
def load_mnist_sample(path: Path = MNIST_SAMPLE) -> Digits:
    """Reads and checks the sample once per process.

    Raises:
        DataError: the file is missing or is not what the class states.
    """
    try:
        raw = read_bytes(path, MOST_INDEX)
    except OSError as error:
        raise DataError(f"the MNIST sample {path} cannot be read ({error.strerror}): {REBUILD}") from error
    names = [f"{split}_{part}" for split in ("train", "test") for part in ("images", "labels", "rows")]
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names}
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"the MNIST sample {path} is not an archive of {', '.join(names)}: {REBUILD}") from error
    for split in ("train", "test"):
        images, labels, rows = (arrays[f"{split}_{part}"] for part in ("images", "labels", "rows"))
        whole = images.dtype == labels.dtype == np.uint8 and images.shape == (len(labels), SIDE, SIDE)
        if not whole or rows.shape != labels.shape or set(labels.tolist()) != set(range(10)):
            raise DataError(
                f"the MNIST sample {path} has {split} images {images.dtype}{list(images.shape)} for labels "
                f"{labels.dtype}{list(labels.shape)}, expected uint8[N, 28, 28] with all ten digits: {REBUILD}"
            )
    for array in arrays.values():
        array.flags.writeable = False
    return Digits(**arrays, fingerprint=hashlib.sha256(raw).hexdigest())


def read_mnist(folder: Path) -> Digits:
    """The four IDX files of MNIST, gzipped or not.

    Raises:
        DataError: a file is missing or is not what its name says.
    """
    images, labels, test_images, test_labels = (read_idx(folder, name) for name in FILES)
    for one, other in ((images, labels), (test_images, test_labels)):
        if one.shape[1:] != (SIDE, SIDE) or other.shape != one.shape[:1] or not len(one) or other.max() > 9:
            raise DataError(
                f"{folder} has images {list(one.shape)} for labels {list(other.shape)}, expected [N, 28, 28] and [N] "
                "of 0 to 9: download the four files of MNIST again"
            )
    rows, test_rows = (np.arange(len(one), dtype=np.int32) for one in (labels, test_labels))
    fingerprint = arrays_digest(images, labels, test_images, test_labels)
    return Digits(images, labels, rows, test_images, test_labels, test_rows, fingerprint)


def arrays_digest(*arrays: np.ndarray) -> str:
    """sha256 of the arrays' bytes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(array.tobytes())
    return total.hexdigest()


class MnistSet:
    """Digits as an `ImageSet`: classes "0" to "9"; examples from the training file, queries from the test file.

    Args:
        folder: of the four IDX files; None takes the committed sample.

    Image ids are `train/<row>` and `test/<row>`, rows of the full MNIST files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        sample = load_mnist_sample() if folder is None else read_mnist(folder)
        self.embedded = folder is None
        self.name = "mnist" if folder is None else f"mnist:{folder}"
        what = "an embedded sample of real digits" if folder is None else "all digits"
        counts = f"{len(sample.train_labels):,} train as examples, {len(sample.test_labels):,} test as queries"
        self.title = f"MNIST, {what} ({counts})"
        self._images: dict[str, np.ndarray] = {}
        ids: dict[str, list[list[str]]] = {"train": [[] for _ in range(10)], "test": [[] for _ in range(10)]}
        for split, images, labels, rows in (
            ("train", sample.train_images, sample.train_labels, sample.train_rows),
            ("test", sample.test_images, sample.test_labels, sample.test_rows),
        ):
            for image, label, row in zip(images, labels.tolist(), rows.tolist(), strict=True):
                image_id = f"{split}/{row:05d}"
                self._images[image_id] = image
                ids[split][label].append(image_id)
        self.classes = tuple(
            ClassImages(str(digit), tuple(ids["train"][digit]), tuple(ids["test"][digit])) for digit in range(10)
        )
        split_text = "\n".join([sample.fingerprint, *map(hashed_text, self.classes)])
        self.fingerprint = hashlib.sha256(split_text.encode()).hexdigest()

    def image(self, image_id: str) -> np.ndarray:
        """[28, 28, 3] uint8, the grey value three times. Raises DataError for an id that is not of this set."""
        if image_id not in self._images:
            raise DataError(f"{self.name} has no image {image_id!r}: ids read train/<row> or test/<row>")
        return np.repeat(self._images[image_id][:, :, None], 3, axis=2)
