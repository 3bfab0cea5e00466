"""The recipes by name. Each says where it comes from, what it costs and what to expect."""

from __future__ import annotations

from collections.abc import Callable

from spae.errors import UnknownName
from spae.training.recipe import Recipe


def picto_spae() -> Recipe:
    """SPAE on the embedded pictograms.

    Source: section 3 and appendix B.1 of arXiv 2306.17842 (the MNIST variant: 32x32, layers of 1, 4, 16
    and 16 words, label text for the semantic loss), at a quarter of the filters. What differs from the
    paper: thresholds on the first two layers only, so that the 16 positions of layer 3 are free to
    draw; the pool's mean as target instead of one sampled word; a dynamic weight bounded to [0.4, 1]
    with commitment left out of it; latents held to twice the codebook's spread (LatentNorm); a fifth of
    the pictures decoded from their first layers; neither GAN nor perceptual loss; Adam (0.9, 0.99).
    Cost: see the README, under an hour on two cores.
    Expected: see `spae/weights/picto_spae/log.jsonl`, the log of the committed weights.
    Command: python -m spae train --recipe picto_spae
    """
    return Recipe(
        name="picto_spae",
        quantizer="saq",
        latent_spread=2.0,
        thresholds=(0.98, 0.95),
        weight_low=0.4,
        weight_high=1.0,
        steps=2400,
        batch=64,
        drawn=32,
        learning_rate=1.5e-3,
    )


def picto_vqgan() -> Recipe:
    """VQGAN baseline on the embedded pictograms.

    Source: section 4 of arXiv 2306.17842 and method.md's baseline: the same encoder and decoder, a learned
    codebook of 1,024 entries 256 wide, no semantic loss. It redraws as many pictures as picto_spae does,
    in the same order of epochs, with the same schedule.
    Cost: about half of picto_spae's.
    Expected: see `spae/weights/picto_vqgan/log.jsonl`.
    Command: python -m spae train --recipe picto_vqgan
    """
    return Recipe(name="picto_vqgan", quantizer="vq", steps=2400, batch=32, drawn=32, learning_rate=1.5e-3)


RECIPES: dict[str, Callable[[], Recipe]] = {"picto_spae": picto_spae, "picto_vqgan": picto_vqgan}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises UnknownName."""
    if name not in RECIPES:
        raise UnknownName("recipe", name, RECIPES)
    return RECIPES[name]()
