"""Token pyramids: which positions of the latent grid each layer visits (Eq. 1 of arXiv 2306.17842).

D layers, N positions of the latent grid, N_l positions of layer l (counted from 1, the coarsest).
A grid is (rows, columns) for images and (frames, rows, columns) for video.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from spae.errors import InputError, UnknownName

Grid = tuple[int, ...]

# Sides of each layer's grid, coarse to fine: the preset table of the specification
# (appendix B.1 of the paper; `picto` has the shape of the paper's MNIST pyramid).
PRESETS: dict[str, tuple[Grid, ...]] = {
    "image": tuple((s, s) for s in (1, 2, 4, 8, 16, 16)),
    "image-8": tuple((s, s) for s in (1, 2, 4, 8, 16, 16, 16, 16)),
    "image-256": tuple((s, s) for s in (1, 2, 4, 8, 16, 16)),
    "mnist": tuple((s, s) for s in (1, 2, 4, 4)),
    "picto": tuple((s, s) for s in (1, 2, 4, 4)),
    "video": ((1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8), (4, 16, 16), (4, 16, 16)),
}


def axis_positions(size: int, count: int) -> list[int]:
    """0-based positions of `count` tokens on an axis of `size` cells.

    Eq. 1 with its floor read as a ceiling: r*i - ceil(r/2) for i = 1..count, r = size / count.
    As printed, the equation leaves the grid at r = 1; this reading agrees with it for every even
    ratio and is the identity at 1.

    Raises:
        InputError: `count` does not divide `size`.
    """
    if count < 1 or size % count:
        raise InputError(f"a layer's side must divide the last layer's, got {count} on {size}")
    ratio = size // count
    return [ratio * i - math.ceil(ratio / 2) for i in range(1, count + 1)]


@dataclass(frozen=True, init=False)
class Pyramid:
    """The layers of a token pyramid.

    Args:
        layers: the grid of each layer, coarse to fine; the last one is the whole latent grid. A single number is
            the side of a square: (1, 2, 4, 4) is ((1, 1), (2, 2), (4, 4), (4, 4)).

    Raises:
        InputError: layers differ in their axes, a layer is coarser than the one before it (the paper's
            h_l <= h_(l+1), section 3.1), or a side does not divide the last layer's.
    """

    layers: tuple[Grid, ...]

    def __init__(self, layers: Sequence[int | Sequence[int]]) -> None:
        grids = tuple((grid, grid) if isinstance(grid, int) else tuple(grid) for grid in layers)
        if not grids or len({len(grid) for grid in grids}) != 1 or not grids[0]:
            raise InputError(f"a pyramid needs layers that all have the same number of axes, got {layers}")
        for before, after in itertools.pairwise(grids):
            if any(fine < coarse for coarse, fine in zip(before, after, strict=True)):
                raise InputError(f"layers go from coarse to fine, got {after} after {before}: sort them")
        for grid in grids:
            for size, count in zip(grids[-1], grid, strict=True):
                axis_positions(size, count)
        object.__setattr__(self, "layers", grids)

    @classmethod
    def preset(cls, name: str) -> Pyramid:
        """The pyramid of a preset. Raises UnknownName."""
        if name not in PRESETS:
            raise UnknownName("pyramid preset", name, PRESETS)
        return cls(PRESETS[name])

    @property
    def depth(self) -> int:
        """D, the number of layers."""
        return len(self.layers)

    @property
    def grid(self) -> Grid:
        """The latent grid: the shape of the last layer."""
        return self.layers[-1]

    @property
    def cells(self) -> int:
        """N, the number of positions of the latent grid."""
        return math.prod(self.grid)

    @property
    def tokens(self) -> int:
        """Number of tokens of all layers together."""
        return sum(math.prod(grid) for grid in self.layers)

    def positions(self, layer: int) -> tuple[int, ...]:
        """Flat 0-based indices into the latent grid that `layer` (from 1) visits, in raster order."""
        if not 1 <= layer <= self.depth:
            raise InputError(f"layers run from 1 to {self.depth}, got {layer}")
        axes = [axis_positions(size, count) for size, count in zip(self.grid, self.layers[layer - 1], strict=True)]
        flat = []
        for point in itertools.product(*axes):
            index = 0
            for size, coordinate in zip(self.grid, point, strict=True):
                index = index * size + coordinate
            flat.append(index)
        return tuple(flat)
