"""The nine rows of Table 4 of arXiv 2306.17842. Each differs from the row it stands under in one thing.

    vq -> frozen codebook -> semantic loss -> 2-layer RQ -> 2-layer SAQ -> 6-layer pyramid SAQ, which is SPAE
    SPAE -> one threshold;  SPAE -> constant weight;  SPAE -> no perceptual loss

The paper does not print it, so as in SPAE the semantic loss is on the layers up to the first whole one: rows of one or
two whole layers have rho_1 alone.
All train on ImageNet at 128x128 with one budget, and need what `image` needs.
"""

from __future__ import annotations

from spae.training.recipe import Recipe
from spae.training.recipes.image import THRESHOLDS, image

ONE_THRESHOLD = 0.8
"""The threshold of the row with one for all layers; the paper prints none, 0.8 is ours."""


def ablation_vq() -> Recipe:
    """Baseline VQ: one layer of 256, a learned codebook of 1,024 entries 256 wide.

    Source: Table 4 of arXiv 2306.17842, row "Baseline VQ".
    Data: as image, without CLIP.
    Cost: 450,000 steps of 256; for a machine with GPUs.
    Expected: FID 5.48, IS 119.69, LPIPS 0.13 (Table 4); 5-way 1-shot 19.6 %.
    Command: accelerate launch -m spae train --recipe ablation_vq --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    shape = {"model.quantizer": "vq", "model.codebook": "learned", "model.pyramid": [16]}
    return image().replace({"name": "ablation_vq", **shape, "semantics.scorer": "none", "semantics.thresholds": []})


def ablation_frozen_codebook() -> Recipe:
    """The same with a frozen codebook of words.

    Source: Table 4 of arXiv 2306.17842, row "+ frozen codebook".
    Data: as ablation_vq.
    Cost: as ablation_vq.
    Expected: FID 7.44, IS 101.39, LPIPS 0.17, CLIP 0.1464 (Table 4); 5-way 1-shot 19.5 %.
    Command: accelerate launch -m spae train --recipe ablation_frozen_codebook --set data.source=folder:PATH --set
    perceptual_file=FILE
    """
    return ablation_vq().replace({"name": "ablation_frozen_codebook", "model.codebook": "frozen"})


def ablation_semantic() -> Recipe:
    """The same with the semantic loss, on its one layer.

    Source: Table 4 of arXiv 2306.17842, row "+ semantic loss".
    Data: as image.
    Cost: as ablation_vq.
    Expected: FID 5.17, IS 124.41, LPIPS 0.13, CLIP 0.1518 (Table 4); 5-way 1-shot 46.2 %.
    Command: accelerate launch -m spae train --recipe ablation_semantic --set data.source=folder:PATH --set
    perceptual_file=FILE
    """
    semantics = {"semantics.scorer": "open_clip", "semantics.thresholds": THRESHOLDS[:1]}
    return ablation_frozen_codebook().replace({"name": "ablation_semantic", **semantics})


def ablation_rq() -> Recipe:
    """The same with two layers of 256 by residual quantization.

    Source: Table 4 of arXiv 2306.17842, row "+ 2-layer RQ".
    Data: as image.
    Cost: as ablation_vq, with 512 words an image.
    Expected: FID 6.05, IS 113.93, LPIPS 0.15, CLIP 0.1547 from both layers (Table 4); 5-way 1-shot, layer 1, 56.2 %.
    Command: accelerate launch -m spae train --recipe ablation_rq --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    shape = {"model.quantizer": "rq", "model.pyramid": [16, 16]}
    return ablation_semantic().replace({"name": "ablation_rq", **shape})


def ablation_saq() -> Recipe:
    """The same with streaming average quantization.

    Source: Table 4 of arXiv 2306.17842, row "+ 2-layer SAQ".
    Data: as image.
    Cost: as ablation_rq.
    Expected: FID 5.08, IS 125.27, LPIPS 0.14, CLIP 0.1595 from both layers (Table 4); 5-way 1-shot, layer 1, 56.6 %.
    Command: accelerate launch -m spae train --recipe ablation_saq --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    return ablation_rq().replace({"name": "ablation_saq", "model.quantizer": "saq"})


def ablation_pyramid() -> Recipe:
    """The same on the pyramid of six layers, with a threshold for each of the first five: SPAE, the recipe `image`.

    Source: Table 4 of arXiv 2306.17842, row "+ 6-layer pyramid SAQ (SPAE)".
    Data: as image.
    Cost: as image.
    Expected: FID 4.41, IS 133.03, LPIPS 0.12, CLIP 0.1577 from all layers (Table 4); 5-way 1-shot, layers 1-3, 65.1 %.
    Command: accelerate launch -m spae train --recipe ablation_pyramid --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    changes = {"model.pyramid": "image", "semantics.thresholds": THRESHOLDS}
    return ablation_saq().replace({"name": "ablation_pyramid", **changes})


def ablation_one_threshold() -> Recipe:
    """SPAE with one threshold for all layers.

    Source: Table 4 of arXiv 2306.17842, row "no per-layer thresholds".
    Data: as image.
    Cost: as image.
    Expected: FID 4.33, IS 122.25, LPIPS 0.11, CLIP 0.165 from all layers (Table 4); 5-way 1-shot, layers 1-3, 59.4 %.
    Command: accelerate launch -m spae train --recipe ablation_one_threshold --set data.source=folder:PATH --set
    perceptual_file=FILE
    """
    thresholds = [ONE_THRESHOLD] * len(THRESHOLDS)
    return ablation_pyramid().replace({"name": "ablation_one_threshold", "semantics.thresholds": thresholds})


def ablation_constant_weight() -> Recipe:
    """SPAE with the semantic loss at weight 1 throughout.

    Source: Table 4 of arXiv 2306.17842, row "no dynamic semantic weight".
    Data: as image.
    Cost: as image.
    Expected: FID 9.0, IS 85.14, LPIPS 0.19, CLIP 0.1847 from all layers (Table 4); 5-way 1-shot, layers 1-3, 65.1 %.
    Command: accelerate launch -m spae train --recipe ablation_constant_weight --set data.source=folder:PATH --set
    perceptual_file=FILE
    """
    return ablation_pyramid().replace({"name": "ablation_constant_weight", "semantics.dynamic_weight": False})


def ablation_no_perceptual() -> Recipe:
    """SPAE without the perceptual loss.

    Source: Table 4 of arXiv 2306.17842, row "no perceptual loss".
    Data: ImageNet ILSVRC2012, --set data.source=folder:PATH; CLIP ViT-L/14.
    Cost: as image.
    Expected: FID 40.47, IS 33.41, LPIPS 0.2, CLIP 0.1994 from all layers (Table 4); 5-way 1-shot, layers 1-3, 69.5 %.
    Command: accelerate launch -m spae train --recipe ablation_no_perceptual --set data.source=folder:PATH
    """
    return ablation_pyramid().replace({"name": "ablation_no_perceptual", "appearance.perceptual": "none"})
