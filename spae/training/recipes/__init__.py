"""The recipes by name; the docstring of each states its source, data, cost, expected figures and command.

Imports nothing heavy: a recipe's module is loaded on use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from spae.errors import UnknownName

if TYPE_CHECKING:
    from spae.training.recipe import Recipe

# Module of this package: its recipes, in listing order.
MODULES: dict[str, tuple[str, ...]] = {
    "picto": ("picto_spae", "picto_spae_plain", "picto_vqgan", "picto_lqae_without_lm"),
    "mnist": ("mnist", "mnist_full"),
    "image": ("image", "image_8", "image_256", "imagenet21k", "disjoint", "gpt"),
    "video": ("video",),
    "baselines": ("vqgan", "lqae"),
    "ablations": (
        "ablation_vq",
        "ablation_frozen_codebook",
        "ablation_semantic",
        "ablation_rq",
        "ablation_saq",
        "ablation_pyramid",
        "ablation_one_threshold",
        "ablation_constant_weight",
        "ablation_no_perceptual",
    ),
}
RECIPES: dict[str, str] = {name: module for module, names in MODULES.items() for name in names}
"""Every recipe and the module that has it as a function of that name."""


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; a dash stands for an underscore. Raises UnknownName."""
    known = name.replace("-", "_")
    if known not in RECIPES:
        raise UnknownName("recipe", name, RECIPES)
    module = importlib.import_module(f"{__name__}.{RECIPES[known]}")
    recipe: Recipe = getattr(module, known)()
    return recipe
