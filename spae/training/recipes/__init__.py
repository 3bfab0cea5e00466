"""The recipes by name; the docstring of each states its source, data, cost, expected figures and command.

A third party adds one by an entry point of group `spae.recipes`: a function without arguments that returns a `Recipe`.
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
GROUP = "spae.recipes"
RECIPES: dict[str, str] = {name: f"{__name__}.{module}" for module, names in MODULES.items() for name in names}
"""Every built-in recipe and the module that has it as a function of that name."""


def recipe_targets() -> dict[str, str]:
    """Name -> "module:function" of every recipe, plug-ins after the built-in ones. Imports none of them."""
    from importlib.metadata import entry_points

    found = {name: f"{module}:{name}" for name, module in RECIPES.items()}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        found.setdefault(point.name.replace("-", "_"), point.value)
    return found


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; a dash stands for an underscore. Raises UnknownName."""
    known, targets = name.replace("-", "_"), recipe_targets()
    if known not in targets:
        raise UnknownName("recipe", name, targets)
    module, _, function = targets[known].partition(":")
    recipe: Recipe = getattr(importlib.import_module(module), function)()
    return recipe
