"""A matrix that is costly to compute: filled batch by batch, kept on disk, read through memory mapping.

A killed process resumes at the first unfinished batch. Processes that want the same file wait for the one that fills
it.

R rows, E their width.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import open_memmap
from torch import Tensor

from spae.atomic import atomic_path
from spae.errors import ShapeError, WeightsError
from spae.regular_file import MOST_CONFIG, check_regular, read_text

MakeRows = Callable[[int, int], np.ndarray]
"""Gives rows start..stop-1 as [stop - start, E]."""


def rows_on_disk(path: Path, rows: int, make: MakeRows, batch: int) -> Tensor:
    """The matrix [R, E] float32 at `path`, memory-mapped; computed first if the file is missing.

    Args:
        path: an .npy file whose name identifies its content: an existing file is used unchecked.
        rows: R, at least 1.
        make: called for `batch` rows at a time, in order.

    Raises:
        ShapeError: `make` gives another number of rows, another width than before, or numbers that are not finite.
        WeightsError: the existing file has another number of rows, or is not a matrix.
    """
    if rows < 1 or batch < 1:
        raise ShapeError(f"a matrix has at least one row, computed at least one at a time, got {rows} and {batch}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        if not path.exists():
            _fill(path, rows, make, batch)
    # Copy-on-write: torch requires writable memory, and the file must not change.
    return torch.from_numpy(_open(path, rows, "c"))


def _open(path: Path, rows: int, mode: Literal["c", "r+"]) -> np.memmap:
    try:
        check_regular(path)
        found = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is not a matrix ({error}): delete it and run again") from error
    if found.ndim != 2 or len(found) != rows or found.dtype != np.float32:
        raise WeightsError(
            f"{path} must hold {rows} rows of float32, got {found.dtype} {found.shape}: delete it and run again"
        )
    return found


def _fill(path: Path, rows: int, make: MakeRows, batch: int) -> None:
    part, done = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.done")
    matrix, start = _resumed(part, done, rows)
    while start < rows:
        stop = min(start + batch, rows)
        made = np.asarray(make(start, stop), np.float32)
        # The first batch sets the width; -1 fits none.
        width = int(matrix.shape[1]) if matrix is not None else made.shape[1] if made.ndim == 2 else -1
        if made.shape != (stop - start, width) or not np.isfinite(made).all():
            wanted = f"[{stop - start}, {width if width > 0 else 'E'}]"
            raise ShapeError(f"rows {start} to {stop - 1} must be finite {wanted}, got {made.shape}")
        if matrix is None:
            matrix = open_memmap(part, "w+", np.dtype(np.float32), (rows, width))
        matrix[start:stop] = made
        matrix.flush()
        # After the rows are on disk: a resumed run trusts this number.
        with atomic_path(done) as draft:
            draft.write_text(str(stop), encoding="utf-8")
        start = stop
    del matrix
    os.replace(part, path)
    done.unlink(missing_ok=True)


def _resumed(part: Path, done: Path, rows: int) -> tuple[np.memmap | None, int]:
    """The matrix and the number of rows that a killed process left, or none."""
    with contextlib.suppress(OSError, ValueError, WeightsError):
        finished = int(read_text(done, MOST_CONFIG))
        if 0 < finished <= rows:
            return _open(part, rows, "r+"), finished
    return None, 0
