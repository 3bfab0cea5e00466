"""A committed sample of the real MNIST: 2,000 training and 1,000 test digits, as many of each label.

`scripts/build_mnist_sample.py` makes the file; `mnist_sample.LICENSE.md` says whose it is.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spae.data.protocol import ClassImages, hashed_text
from spae.errors import DataError

MNIST_SAMPLE = Path(__file__).with_name("mnist_sample.npz")
REBUILD = "restore the file from the repository or run scripts/build_mnist_sample.py"
SIDE = 28


@dataclass(frozen=True, eq=False)
class MnistSample:
    """The sample's arrays, read-only.

    Attributes:
        train_images: [2000, 28, 28] uint8, white strokes on black.
        train_labels: [2000] uint8, 0 to 9.
        train_rows: [2000] int32, row numbers in the full training file.
        test_images, test_labels, test_rows: the same of the test file, 1,000 each.
        fingerprint: sha256 of the file.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    train_rows: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    test_rows: np.ndarray
    fingerprint: str


@functools.lru_cache(maxsize=2)
def load_mnist_sample(path: Path = MNIST_SAMPLE) -> MnistSample:
    """Reads and checks the sample once per process.

    Raises:
        DataError: the file is missing or is not what the class states.
    """
    try:
        raw = path.read_bytes()
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
    return MnistSample(**arrays, fingerprint=hashlib.sha256(raw).hexdigest())


class MnistSet:
    """The sample as a `ImageSet`: classes "0" to "9"; examples from the training file, queries from the test file.

    Image ids are `train/<row>` and `test/<row>`, rows of the full MNIST files.
    """

    name = "mnist"
    title = "MNIST, an embedded sample of real digits (2,000 train as examples, 1,000 test as queries)"
    embedded = True

    def __init__(self, sample: MnistSample | None = None) -> None:
        sample = sample or load_mnist_sample()
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
