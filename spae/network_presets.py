"""The presets of encoders and decoders: their shapes, and the grids they make. Imports no torch.

h w latent grid, T frames, H W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from spae.errors import ShapeError, UnknownName


@dataclass(frozen=True)
class Plan:
    """The shape of a convolutional network.

    Attributes:
        filters: base filters.
        multipliers: filters of each scale over the base, from pixels to latents.
        strides: how far each scale but the last pools each axis; (2, 2) pools an image to half its sides.
        blocks: ResBlocks a scale.
    """

    filters: int
    multipliers: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    blocks: int = 2

    def __post_init__(self) -> None:
        if len(self.strides) != len(self.multipliers) - 1:
            raise ShapeError(
                f"every scale but the last pools: {len(self.multipliers)} multipliers need "
                f"{len(self.multipliers) - 1} strides, got {len(self.strides)}"
            )

    @property
    def factors(self) -> tuple[int, ...]:
        """What each axis is pooled by."""
        return tuple(math.prod(stride[axis] for stride in self.strides) for axis in range(len(self.strides[0])))

    def grid(self, pixels: tuple[int, ...]) -> tuple[int, ...]:
        """The grid of latents for pixels of this shape, [B, 3, H, W] or [B, 3, T, H, W].

        Raises:
            ShapeError: an axis is missing, or not a multiple of what it is pooled by.
        """
        sides, factors = pixels[2:], self.factors
        fits = len(sides) == len(factors) and pixels[1] == 3
        if not fits or any(side < 1 or side % factor for side, factor in zip(sides, factors, strict=True)):
            axes = ("T", "H", "W")[-len(factors) :]
            rules = ", ".join(f"{axis} divisible by {by}" for axis, by in zip(axes, factors, strict=True))
            raise ShapeError(f"pixels must be [B, 3, {', '.join(axes)}] with {rules}, got {tuple(pixels)}")
        return tuple(side // factor for side, factor in zip(sides, factors, strict=True))


@dataclass(frozen=True)
class VitPlan:
    """The shape of both transformers of LQAE.

    Attributes:
        size: side of its images in pixels, a multiple of `patch`.
        patch: side of a patch in pixels.
        features: F, a multiple of `heads`.
        layers: transformer layers on each side.
        hidden: width of the MLPs.
    """

    size: int = 256
    patch: int = 16
    features: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072

    def __post_init__(self) -> None:
        if self.size % self.patch or self.features % self.heads:
            raise ShapeError(
                f"patches must fill the image and heads the features, got patch {self.patch} in {self.size} pixels "
                f"and {self.heads} heads in {self.features} features"
            )

    @property
    def side(self) -> int:
        """Patches on a side."""
        return self.size // self.patch

    def grid(self, pixels: tuple[int, ...]) -> tuple[int, ...]:
        """The grid of patches. Raises ShapeError: images of another size than the learned positions."""
        if tuple(pixels[1:]) != (3, self.size, self.size):
            raise ShapeError(f"images must be [B, 3, {self.size}, {self.size}], got {tuple(pixels)}: resize them")
        return self.side, self.side


# Base filters and multipliers: appendix B.1; the `picto` ones are the same networks at a quarter of the width.
NETWORKS: dict[str, tuple[int, tuple[int, ...]]] = {
    "image": (128, (1, 2, 2, 4)),
    "image-256": (128, (1, 1, 2, 2, 4)),
    "mnist": (128, (1, 2, 2, 4)),
    "picto": (32, (1, 2, 2, 4)),
    "picto-256": (32, (1, 1, 2, 2, 4)),
    "video": (128, (1, 2, 2, 4)),
    "picto-video": (32, (1, 2, 2, 4)),
}

# Networks of videos, and how far each of their scales pools time: 16 frames become 4.
TIME_STRIDES: dict[str, tuple[int, ...]] = {"video": (2, 2, 1), "picto-video": (2, 2, 1)}

# `lqae` is the paper's; `picto-lqae` a small one for CPUs, with the 16 positions of the `picto` pyramid's grid.
VITS: dict[str, VitPlan] = {
    "lqae": VitPlan(),
    "picto-lqae": VitPlan(size=32, patch=8, features=192, layers=3, heads=3, hidden=768),
}


def convolutional_plan(preset: str) -> Plan:
    """The plan of a preset of NETWORKS."""
    filters, multipliers = NETWORKS[preset]
    if preset in TIME_STRIDES:
        return Plan(filters, multipliers, tuple((time, 2, 2) for time in TIME_STRIDES[preset]))
    return Plan(filters, multipliers, ((2, 2),) * (len(multipliers) - 1))


def network_plan(preset: str) -> Plan | VitPlan:
    """The plan of any preset. Raises UnknownName."""
    if preset in NETWORKS:
        return convolutional_plan(preset)
    if preset in VITS:
        return VITS[preset]
    raise UnknownName("network preset", preset, [*NETWORKS, *VITS])
