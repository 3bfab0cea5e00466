"""The models that are trained on the embedded pictograms to be used: small, on two cores, in less than an hour."""

from __future__ import annotations

from spae.tokenizers.config import ModelConfig
from spae.training.recipe import AppearanceConfig, DataConfig, OptimizerConfig, Recipe, SemanticsConfig


def picto_spae() -> Recipe:
    """SPAE on the embedded pictograms, 37 words an image: the committed weights of tokenizer `spae`.

    Source: section 3 and appendix B.1 of arXiv 2306.17842 (the MNIST variant: 32x32, layers of 1, 4, 16 and 16 words,
    label text for the semantic loss), at a quarter of the filters. What differs from the paper:
    - layers 3 and 4 look words up by eight principal components of their embeddings instead of by all (ProjectedSAQ);
      the latents for that are whitened, come from an encoder of their own (DualEncoder), and are all the decoder reads;
    - thresholds on the first two layers only, so that the 16 positions of layer 3 serve reconstruction;
    - the pool's mean as target instead of one sampled word, and one weight of the semantic loss throughout;
    - latents of the semantic branch scaled to twice the codebook's spread (LatentNorm);
    - a fifth of the images decoded from their first layers; neither GAN nor perceptual loss; Adam (0.9, 0.99).
    picto_spae_plain is without the first of these.
    Data: pictograms-more, 521 concepts.
    Cost: about 45 minutes on two cores with AVX-512 bfloat16.
    Expected: on the style never trained on (521 images; log.jsonl beside the committed weights) 63.5 % of the words
    of layer 1 with s >= 0.9 and 60.5 % of layer 2's; squared error 0.227, 0.225, 0.040, 0.029 from layers 1, 1-2, 1-3,
    1-4 (mean image 0.227): layers 1 and 2 carry meaning alone.
    Command: python -m spae train --recipe picto_spae
    """
    return Recipe(
        name="picto_spae",
        model=ModelConfig(quantizer="saq", latent_scale=2.0, projected_layers=2, projected_dim=8, projected_scale=0.75),
        semantics=SemanticsConfig(
            scorer="label_text", thresholds=(0.98, 0.95), semantic_weight_min=0.2, semantic_weight_max=0.2
        ),
        appearance=AppearanceConfig(commitment_weight=0.005),
        data=DataConfig(source="pictograms-more", batch_size=96, decode_batch_size=32),
        optimizer=OptimizerConfig(steps=2800, learning_rate=1.5e-3),
    )


def picto_spae_plain() -> Recipe:
    """SPAE on the embedded pictograms with one encoder, and every layer looking words up by whole embeddings.

    Source: as picto_spae without its first departure; the semantic loss has a dynamic weight bounded to [0.4, 1], with
    commitment left out of it. An ablation, also of styles: it is trained on six of them, picto_spae on up to 21.
    Data: the embedded pictograms, 521 concepts.
    Cost: about 50 minutes on one core with AVX-512 bfloat16, about 30 on two that are free.
    Expected: on the style never trained on 55 % of the words of layer 1 with s >= 0.9 and 51 % of layer 2's; squared
    error 0.192, 0.179, 0.087, 0.072 from layers 1, 1-2, 1-3, 1-4 (mean image 0.227): the semantic loss
    takes the five positions of layers 1 and 2, and its weight leaves little for reconstruction.
    Command: python -m spae train --recipe picto_spae_plain
    """
    return Recipe(
        name="picto_spae_plain",
        model=ModelConfig(quantizer="saq", latent_scale=2.0),
        semantics=SemanticsConfig(scorer="label_text", thresholds=(0.98, 0.95), semantic_weight_min=0.4),
        data=DataConfig(batch_size=64, decode_batch_size=32),
        optimizer=OptimizerConfig(steps=2400, learning_rate=1.5e-3),
    )


def picto_vqgan() -> Recipe:
    """VQGAN baseline on the embedded pictograms.

    Source: section 4 of arXiv 2306.17842: the same networks (one encoder), a learned codebook of 1,024 entries 256
    wide, no semantic loss. It decodes the same images as picto_spae at every step: the rest of its batch, from which it
    learns nothing, is there for that.
    Data: pictograms-more, 521 concepts.
    Cost: about 40 minutes on one core.
    Expected: on the same images squared error 0.038.
    Command: python -m spae train --recipe picto_vqgan
    """
    return Recipe(
        name="picto_vqgan",
        model=ModelConfig(quantizer="vq", codebook="learned"),
        data=DataConfig(source="pictograms-more", batch_size=96, decode_batch_size=32),
        optimizer=OptimizerConfig(steps=2800, learning_rate=1.5e-3),
    )


def picto_lqae_without_lm() -> Recipe:
    """LQAE's autoencoder and codebook on the embedded pictograms, without its masked language model.

    Source: LQAE (arXiv 2302.00902) at 32x32: a small transformer, one layer of
    frozen words compared by angle, MSE + 0.005 commitment, no semantic loss. It is not LQAE: its masked language
    model needs a download, so no word is masked, the decoder reads the words' embeddings as they stand, and
    there is no masked-language-model term. The words are SmolLM2's.
    Data: the embedded pictograms, 521 concepts.
    Cost: about 15 minutes on one core.
    Expected: on the same images squared error 0.074.
    Command: python -m spae train --recipe picto_lqae_without_lm
    """
    return Recipe(
        name="picto_lqae_without_lm",
        model=ModelConfig(quantizer="vq", l2_normalize=True, pyramid=(4,), network="picto-lqae"),
        appearance=AppearanceConfig(commitment_weight=0.005),
        data=DataConfig(batch_size=32, decode_batch_size=32),
        optimizer=OptimizerConfig(steps=2400, learning_rate=5e-4, schedule="cosine", cooldown_fraction=0.0),
    )
