"""The recipes by name. Each says where it comes from, what it costs and what to expect."""

from __future__ import annotations

from collections.abc import Callable

from spae.errors import UnknownName
from spae.training.recipe import Recipe


def picto_spae() -> Recipe:
    """SPAE on the embedded pictograms."""
    return Recipe(
        name="picto_spae",
        quantizer="saq",
        latent_norm=True,
        thresholds=(0.98, 0.95),
        drawn=32,
        steps=2400,
    )


def picto_vqgan() -> Recipe:
    """VQGAN baseline on the embedded pictograms."""
    return Recipe(name="picto_vqgan", quantizer="vq", steps=2400, batch=32, drawn=32)


RECIPES: dict[str, Callable[[], Recipe]] = {"picto_spae": picto_spae, "picto_vqgan": picto_vqgan}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises UnknownName."""
    if name not in RECIPES:
        raise UnknownName("recipe", name, RECIPES)
    return RECIPES[name]()
