"""IDX files, the format that MNIST and Fashion-MNIST are published in."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from spae.errors import DataError
from spae.regular_file import open_regular

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
UINT8 = 0x08
MOST_BYTES = 256 * 1024 * 1024
"""The largest file of MNIST has 47 MB; a gzip that unpacks to more than this is refused."""


def read_idx(folder: Path, name: str) -> np.ndarray:
    """The uint8 array of an IDX file: two zeros, the type, the number of dimensions, each as four bytes, the values.

    Args:
        folder: of the file.
        name: one of `FILES`; `.gz` and the spelling `train-images.idx3-ubyte` are found, too.

    Raises:
        DataError: it is missing, cannot be read, or is no IDX file of bytes.
    """
    # Both spellings are in use: train-images-idx3-ubyte and train-images.idx3-ubyte.
    spellings = [folder / (one + end) for one in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    path = next((one for one in spellings if one.is_file()), None)
    if path is None:
        raise DataError(f"{folder} has no {name} (or {name}.gz): mnist:FOLDER takes the four files {', '.join(FILES)}")
    try:
        with open_regular(path, MOST_BYTES) as file, gzip.open(file) if path.suffix == ".gz" else file as stream:
            raw = stream.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): download it again") from error
    dimensions = raw[3] if len(raw) >= 4 else 0
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
    body = raw[4 + 4 * dimensions :]
    if raw[:3] != bytes([0, 0, UINT8]) or not 1 <= dimensions <= 3 or int(np.prod(shape, dtype=object)) != len(body):
        raise DataError(
            f"{path} is no IDX file of bytes (its header claims {shape}, {len(body)} follow): download it again"
        )
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)
