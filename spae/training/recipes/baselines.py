"""What the paper compares SPAE with: VQGAN and LQAE."""

from __future__ import annotations

from spae.training.recipe import Recipe
from spae.training.recipes.ablations import ablation_vq
from spae.training.recipes.image import image


def vqgan() -> Recipe:
    """VQGAN: the same networks and losses, a learned codebook of 1,024 entries 256 wide, no words.

    Source: section 4 of arXiv 2306.17842, Table 2; the same run as the first row of Table 4 (ablation_vq).
    Data: as image, without CLIP.
    Cost: 450,000 steps of 256; for a machine with GPUs.
    Expected: FID 5.48, IS 119.69, LPIPS 0.13 (Table 2).
    Command: accelerate launch -m spae train --recipe vqgan --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    return ablation_vq().replace({"name": "vqgan"})


def lqae() -> Recipe:
    """LQAE: a ViT that encodes 256x256 pixels as 256 words of RoBERTa, half of them masked in training.

    Source: Liu et al., arXiv 2302.00902; Table 1 of arXiv 2306.17842. The codebook is RoBERTa-base's frozen word
    embeddings, compared by angle; the decoder reads RoBERTa's last hidden states; MSE + 0.005 commitment + 1e-4 cross
    entropy of the masked words; AdamW with a cosine. Batch, steps and rate are SPAE's.
    Data: ImageNet ILSVRC2012, --set data.source=folder:PATH; RoBERTa-base, whose words are made into a vocabulary once:
        python -m spae vocabulary roberta-base --masked-lm FacebookAI/roberta-base
    Cost: 450,000 steps of 256; for a machine with GPUs.
    Expected: mini-ImageNet, average over the settings: 2-way 53.97 %, 5-way 29.04 % (Table 1).
    Command: accelerate launch -m spae train --recipe lqae --set data.source=folder:PATH
    """
    return image().replace(
        {
            "name": "lqae",
            "model.quantizer": "vq",
            "model.l2_normalize": True,
            "model.pyramid": [16],
            "model.network": "lqae",
            "model.image_size": 256,
            "model.vocabulary": "roberta-base",
            "model.masked_lm": "roberta",
            "model.masked_lm_source": "FacebookAI/roberta-base",
            "model.mask_ratio": 0.5,
            "semantics.scorer": "none",
            "semantics.thresholds": [],
            "appearance.commitment_weight": 0.005,
            "appearance.gan": "none",
            "appearance.perceptual": "none",
            "appearance.masked_lm_weight": 1e-4,
            "optimizer.betas": [0.9, 0.99],
            "optimizer.weight_decay": 1e-4,
            "optimizer.schedule": "cosine",
            "optimizer.cooldown_fraction": 0.0,
        }
    )
