"""Weights of a network of images as weights of the same network of videos (MAGVIT, arXiv 2212.05199, section 3.1).

O I output and input channels, k side of a kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from torch import Tensor

from spae.errors import ShapeError, UnknownName

Inflation = Literal["central", "average"]


def inflate_kernel(kernel: Tensor, mode: Inflation = "central") -> Tensor:
    """[O, I, k, k] -> [O, I, k, k, k], whose sum over time is the kernel given; k is odd.

    `central` puts it into the middle slice: each frame is read alone. `average` gives every slice
    1/k of it: each frame is read as the mean of k. A kernel of side 1 is the same either way.

    Raises:
        ShapeError: the kernel is not square or its side is even, so that no slice is the middle one.
        UnknownName: no such mode.
    """
    if mode not in get_args(Inflation):
        raise UnknownName("inflation", mode, get_args(Inflation))
    side = kernel.shape[-1]
    if kernel.ndim != 4 or kernel.shape[2] != side or side % 2 == 0:
        raise ShapeError(f"a kernel to inflate is [O, I, k, k] with k odd, got {tuple(kernel.shape)}")
    if mode == "average":
        return (kernel / side)[:, :, None].repeat(1, 1, side, 1, 1)
    inflated = kernel.new_zeros(*kernel.shape[:2], side, side, side)
    inflated[:, :, side // 2] = kernel
    return inflated


def inflate(state: Mapping[str, Tensor], mode: Inflation = "central") -> dict[str, Tensor]:
    """The state dict of a network of images as that of the same network of videos.

    A still video then has the image's features in every frame, and its decoded frames are the decoded image, in both
    modes. The first and last frames are no exception, because the network repeats them beyond the ends of the video
    (`VideoConv`). In a moving video, `central` reads each frame alone, apart from pooling and GroupNorm's statistics;
    `average` blurs it over time.

    Args:
        state: of any module made of 2D convolutions and tensors without spatial axes (norms, biases, codebooks);
            names stay as they are.
        mode: where each kernel goes in time.

    Raises:
        ShapeError: a tensor of 4 axes is not a square kernel of odd side.
    """
    inflated = {}
    for name, value in state.items():
        try:
            inflated[name] = inflate_kernel(value, mode) if value.ndim == 4 else value.clone()
        except ShapeError as error:
            raise ShapeError(f"{name}: {error}") from None
    return inflated
