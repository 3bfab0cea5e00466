"""SPAE for digits of 28x28, padded to 32x32: 37 words in layers of 1, 4, 16, 16 (appendix B.1 of arXiv 2306.17842)."""

from __future__ import annotations

from spae.tokenizers.config import ModelConfig
from spae.training.recipe import DataConfig, OptimizerConfig, Recipe, SemanticsConfig


def mnist() -> Recipe:
    """MNIST SPAE at a quarter of the filters, on the committed sample of real digits.

    Source: appendix B.1 of arXiv 2306.17842. The image's feature is the text feature of its label ("seven"), by
    MiniLM where the paper takes CLIP. As in picto_spae_plain: thresholds on the first two layers, so that
    layers 3 and 4 serve reconstruction alone; the pool's mean as target; a bounded weight without commitment in it;
    latents scaled to twice the codebook's spread; neither GAN nor perceptual loss. Digits are not augmented.
    Data: 2,000 digits to train on and 1,000 held out, embedded; all 70,000 by
    --set data.source=mnist:FOLDER of the four IDX files.
    Cost: 2,500 steps of 64, 32 of them decoded: about 50 minutes on one core.
    Expected: the paper prints no figure. On the 1,000 digits held out, the word of layer 1 is the right number for
    97.9 %, squared error 0.171, 0.170, 0.045, 0.032 from layers 1, 1-2, 1-3, 1-4 (mean digit 0.197). More in
    results/training/mnist.
    Command: python -m spae train --recipe mnist
    """
    return Recipe(
        name="mnist",
        model=ModelConfig(quantizer="saq", pyramid="mnist", network="picto", latent_scale=2.0),
        semantics=SemanticsConfig(scorer="label_text", thresholds=(0.98, 0.95), semantic_weight_min=0.1),
        data=DataConfig(source="mnist", augment=0.0, batch_size=64, decode_batch_size=32),
        optimizer=OptimizerConfig(steps=2500, learning_rate=1.5e-3),
    )


def mnist_full() -> Recipe:
    """MNIST SPAE with the paper's filters, batch and steps.

    Source: appendix B.1 of arXiv 2306.17842; else as mnist.
    Data: all of MNIST, --set data.source=mnist:FOLDER of the four IDX files.
    Cost: 10,000 steps of 256 with 128 base filters: for a GPU.
    Expected: the paper prints no figure.
    Command: accelerate launch -m spae train --recipe mnist_full --set data.source=mnist:FOLDER
    """
    return mnist().replace(
        {
            "name": "mnist_full",
            "model.network": "mnist",
            "data.source": "",
            "data.batch_size": 256,
            "data.decode_batch_size": 256,
            "optimizer.steps": 10_000,
            "optimizer.learning_rate": 1e-4,
            "optimizer.betas": [0.0, 0.99],
            "optimizer.ema_decay": 0.999,
        }
    )
