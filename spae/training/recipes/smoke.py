"""Any recipe at a size that trains in minutes on a CPU, on embedded data (`python -m spae train --smoke`).

A smoke run keeps the structure of its recipe: quantizer, kind of pyramid, losses, schedule. It shrinks the rest: a
quarter of the filters, images of 32x32 (64x64 for recipes of 256x256), a latent grid of 4x4, 300 steps of 16. What
needs a network or a download is replaced: ImageNet by pictograms, Kinetics by moving pictograms, CLIP by the text of
labels (read by MiniLM), ResNet-50 by EfficientNet-Lite0, RoBERTa by nothing. Its losses fall; its figures compare with
no table of the paper.
"""

from __future__ import annotations

from spae.pyramid import Grid, Pyramid
from spae.training.recipe import Recipe

GRID_SIDE = 4
# A full-size network, its small counterpart, the side of its images and its learning rate.
SMALL_NETWORKS: dict[str, tuple[str, int, float]] = {
    "image": ("picto", 32, 1e-3),
    "image-256": ("picto-256", 64, 1e-3),
    "mnist": ("picto", 32, 1e-3),
    "video": ("picto-video", 32, 1e-3),
    "lqae": ("picto-lqae", 32, 5e-4),
}
SMALL_VOCABULARIES = {"ada-002": "smollm2-minilm", "roberta-base": "smollm2"}
EMBEDDED = ("pictograms", "pictograms-more", "mnist")


def smoke(recipe: Recipe) -> Recipe:
    """The recipe at a size that trains in minutes on a CPU; its name ends in "_smoke"."""
    model, semantics = recipe.model, recipe.semantics
    video, perceptual = model.num_frames > 0, recipe.appearance.perceptual != "none"
    batch_size = 4 if video else 16
    pyramid = small_pyramid(model.layers)
    # The semantic loss stays on the layers up to the first one that is the whole grid.
    scored = next(i for i, layer in enumerate(pyramid) if layer == pyramid[-1]) + 1
    changes: dict[str, object] = {
        "name": f"{recipe.name}_smoke",
        "model.pyramid": pyramid,
        "model.vocabulary": SMALL_VOCABULARIES.get(model.vocabulary, model.vocabulary),
        "model.masked_lm": "none",
        "model.masked_lm_source": "",
        "semantics.scorer": "label_text" if semantics.thresholds else "none",
        "semantics.thresholds": semantics.thresholds[:scored],
        "semantics.semantic_positions": min(4, semantics.semantic_positions),
        # Unbounded, the dynamic weight runs away on a small set of images.
        "semantics.semantic_weight_max": min(1.0, semantics.semantic_weight_max),
        "semantics.semantic_warmup_steps": min(20, semantics.semantic_warmup_steps),
        "appearance.perceptual": "efficientnet-lite0" if perceptual else "none",
        "appearance.perceptual_side": 64 if perceptual else 0,
        "appearance.perceptual_file": "",
        "data.source": _embedded_source(recipe),
        "data.exclude_classes": "",
        "data.batch_size": batch_size,
        "data.decode_batch_size": batch_size,
        "optimizer.init_from": "",
        "optimizer.steps": 100 if video else 300,
        "optimizer.gradient_accumulation_steps": 1,
        "optimizer.warmup_steps": 20,
        "optimizer.precision": "no",
        "logging.evaluate_every": 150,
        "logging.checkpoint_every": 50,
        "logging.samples_every": 150,
    }
    if model.network in SMALL_NETWORKS:
        network, side, rate = SMALL_NETWORKS[model.network]
        changes |= {"model.network": network, "model.image_size": side, "optimizer.learning_rate": rate}
        changes["optimizer.ema_decay"] = 0.99
    if recipe.optimizer.inflation:
        # The committed image model, whose latents have this scale.
        changes |= {"optimizer.init_from": "picto_spae_plain", "model.latent_scale": 2.0}
    return recipe.replace(changes)


def small_pyramid(pyramid: Pyramid) -> tuple[Grid, ...]:
    """The pyramid on a grid of at most 4 a side: its coarse layers that stay coarse, and all its whole layers."""
    whole = _shrink(pyramid.grid)
    coarse = [_shrink(layer) for layer in pyramid.layers if layer != pyramid.grid]
    full = sum(layer == pyramid.grid for layer in pyramid.layers)
    return (*(layer for layer in coarse if layer != whole), *(whole,) * full)


def _shrink(layer: Grid) -> Grid:
    return tuple(min(side, GRID_SIDE) for side in layer)


def _embedded_source(recipe: Recipe) -> str:
    if recipe.data.source in EMBEDDED:
        return recipe.data.source
    return "mnist" if recipe.model.network == "mnist" else "pictograms"
