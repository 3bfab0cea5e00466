"""Weights in a safetensors file, checked before a network gets them: every reader of weights uses this one."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from spae.regular_file import check_regular

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_weights(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it, in float32.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or holds weights that are no floating point numbers or not finite.
    """
    check_regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (no mapping)
            return {name.removeprefix(prefix): _checked(name, file.get_tensor(name)) for name in names}
    except SafetensorError as error:
        raise ValueError(" ".join(str(error).split())[:160]) from error


def names_in(path: Path) -> list[str]:
    """The names of a file's tensors. Raises as `read_weights`."""
    check_regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except SafetensorError as error:
        raise ValueError(" ".join(str(error).split())[:160]) from error


def _checked(name: str, value: Tensor) -> Tensor:
    if value.dtype not in FLOATS:
        raise ValueError(f"{name} is of {str(value.dtype).removeprefix('torch.')}, weights are floating point numbers")
    numbers = value.float()
    if not bool(numbers.isfinite().all()):
        raise ValueError(f"{name} holds numbers that are not finite: the training diverged, or the file is damaged")
    return numbers
