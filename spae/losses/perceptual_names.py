"""The perceptual losses by name, and the sides they take. Imports no torch."""

from __future__ import annotations

from spae.errors import InputError, UnknownName

PERCEPTUAL_SIDES: dict[str, int | None] = {"resnet50": 224, "lpips-vgg": None, "efficientnet-lite0": 224}
"""Side of the images that each network reads by default; None for any size."""
MIN_SIDE = 32


def check_perceptual(name: str, side: int | None) -> None:
    """Refuse a name or a side that no perceptual loss has.

    Raises:
        UnknownName: an unknown network.
        InputError: a side below 32, or any for a network that reads images of any size.
    """
    if name not in PERCEPTUAL_SIDES:
        raise UnknownName("perceptual loss", name, ["none", *PERCEPTUAL_SIDES])
    if side is not None and (PERCEPTUAL_SIDES[name] is None or side < MIN_SIDE):
        raise InputError(
            f"{name} takes images at {PERCEPTUAL_SIDES[name] or 'their own size'}, got side {side}: leave it out or, "
            f"for the other networks, use {MIN_SIDE} or more"
        )
