"""SPAE for clips (appendix B.1 of arXiv 2306.17842)."""

from __future__ import annotations

from spae.training.recipe import Recipe, parse_recipe
from spae.training.recipes.image import image


def video() -> Recipe:
    """SPAE of 16 frames at 128x128 and 2,197 words, which begins with the weights of an image SPAE, inflated.

    Source: appendix B.1 (Video SPAE) and Table 2 of arXiv 2306.17842. The semantic loss takes the mean of the frames'
    features.
    Data: Kinetics-600, --set data=video:PATH; the image recipe's run in runs/train/image, or --set initial=FOLDER;
    else as image.
    Cost: 130,000 steps of 512: 5,800 TPUv4-hours in the paper.
    Expected: FVD 52.28 from layers 1-5, FVD 6.35 from all 6 (Table 2).
    Command: accelerate launch -m spae train --recipe video --set data=video:PATH --set perceptual_file=FILE
    """
    changed = {
        "name": "video",
        "pyramid": "video",
        "network": "video",
        "frames": 16,
        "semantic_positions": 1024,
        "initial": "runs/train/image",
        "inflation": "central",
        "steps": 130_000,
        "batch": 512,
        "drawn": 512,
    }
    return parse_recipe(image().model_dump() | changed, "video")
