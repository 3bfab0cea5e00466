"""SPAE for videos (appendix B.1 of arXiv 2306.17842)."""

from __future__ import annotations

from spae.training.recipe import Recipe
from spae.training.recipes.image import image


def video() -> Recipe:
    """SPAE of 16 frames at 128x128 and 2,197 words, started from the inflated weights of an image SPAE.

    Source: appendix B.1 (Video SPAE) and Table 2 of arXiv 2306.17842. The semantic loss takes the mean of the frames'
    features.
    Data: Kinetics-600, --set data.source=video:PATH; the image recipe's run in runs/train/image, or
    --set optimizer.init_from=FOLDER; else as image.
    Cost: 130,000 steps of 512: 5,800 TPUv4-hours in the paper.
    Expected: FVD 52.28 from layers 1-5, FVD 6.35 from all 6 (Table 2).
    Command: accelerate launch -m spae train --recipe video --set data.source=video:PATH --set
    appearance.perceptual_file=FILE
    """
    return image().replace(
        {
            "name": "video",
            "model.pyramid": "video",
            "model.network": "video",
            "model.num_frames": 16,
            "semantics.semantic_positions": 1024,
            "data.batch_size": 512,
            "data.decode_batch_size": 512,
            "optimizer.init_from": "runs/train/image",
            "optimizer.inflation": "central",
            "optimizer.steps": 130_000,
        }
    )
