"""The recipes by name; the docstring of each states its source, data, cost, expected figures and command.

Imports nothing heavy: a recipe's module is loaded on use.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from spae.errors import InputError, UnknownName
from spae.plugins import PluginFault, load_target, made_by

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


GROUP = "spae.recipes"
"""Entry point group of other packages' recipes: functions, as here, whose name is that of the entry point."""


def targets() -> dict[str, str]:
    """Every recipe as name -> "module:function", plug-ins after the built-in ones. Imports none of them."""
    found = {name: f"{__name__}.{module}:{name}" for name, module in RECIPES.items()}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        owner = point.dist.name if point.dist is not None else point.value
        found[f"{point.name}@{owner}" if point.name in found else point.name] = point.value
    return found


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; a dash stands for an underscore.

    Raises:
        UnknownName: there is none of that name.
        InputError: the package that adds it does not load.
    """
    found, known = targets(), name.replace("-", "_")
    if known not in found:
        raise UnknownName("recipe", name, found)
    target = found[known]
    try:
        function = load_target(target)
        with made_by(target):
            recipe = function()
    except PluginFault as fault:
        raise InputError(f"recipe {known!r} does not load ({fault}): reinstall the package that adds it") from fault
    from spae.training.recipe import Recipe

    if not isinstance(recipe, Recipe):
        raise InputError(f"recipe {known!r} ({target}) must return a Recipe, got {type(recipe).__name__}")
    return recipe
