"""SPAE for images, as the paper trains it (section 4.1 and appendix B.1 of arXiv 2306.17842).

PaLM 2's embeddings are not public: the vocabulary T is that of SmolLM2-135M instead (--set model.vocabulary=NAME for
another). The paper prints neither the steps of warm-up and cool-down nor R1's weight: they are MAGVIT's or the
trainer's defaults. The expected figures are the paper's, for PaLM 2's vocabulary.
"""

from __future__ import annotations

from spae.tokenizers.config import ModelConfig
from spae.training.recipe import (
    AppearanceConfig,
    DataConfig,
    LoggingConfig,
    OptimizerConfig,
    Recipe,
    SemanticsConfig,
)

# rho_l of layers 1 to 5 (section 4.1): all layers up to the first one that is the whole grid.
THRESHOLDS = (0.98, 0.95, 0.9, 0.85, 0.8)


def image() -> Recipe:
    """SPAE of six layers, 597 words for an image of 128x128.

    Source: sections 3 and 4.1 of arXiv 2306.17842; Tables 1, 2 and 4.
    Data: ImageNet ILSVRC2012, --set data.source=folder:PATH; ResNet-50 of torchvision,
    --set appearance.perceptual_file=FILE; CLIP ViT-L/14.
    Cost: 450,000 steps of 256. The paper names no hours; for a machine with GPUs.
    Expected: FID 4.41, IS 133.03, LPIPS 0.12, CLIP 0.1577 from all 6 layers (Table 4); mini-ImageNet 5-way 1-shot,
    layers 1-3, 65.1 %.
    Command: accelerate launch -m spae train --recipe image --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    return Recipe(
        name="image",
        model=ModelConfig(quantizer="saq", pyramid="image", network="image", image_size=128, vocabulary="smollm2"),
        semantics=SemanticsConfig(
            scorer="open_clip",
            clip_model="ViT-L-14",
            clip_pretrained="openai",
            target="sampled",
            thresholds=THRESHOLDS,
            semantic_positions=256,  # all of a layer
            semantic_weight_reference="appearance",
            semantic_weight_max=1e6,  # the paper sets no bound
        ),
        appearance=AppearanceConfig(gan="stylegan", perceptual="resnet50", layer_dropout=0.0),
        data=DataConfig(source="", batch_size=256, decode_batch_size=256),
        optimizer=OptimizerConfig(
            steps=450_000,
            learning_rate=1e-4,
            betas=(0.0, 0.99),
            warmup_steps=5000,
            cooldown_fraction=0.1,
            ema_decay=0.999,
        ),
        logging=LoggingConfig(evaluate_every=5000, checkpoint_every=2500, samples_every=5000),
    )


def image_8() -> Recipe:
    """SPAE of eight layers: two more of 16x16, with the semantic loss on the first five as before.

    Source: appendix B.1 (Image SPAE-8) and Table 6 of arXiv 2306.17842.
    Data: as image.
    Cost: as image, with 1,109 words an image.
    Expected: FID 3.89, IS 140.55, LPIPS 0.11, CLIP 0.1634 from all 8 layers (Table 6).
    Command: accelerate launch -m spae train --recipe image_8 --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    return image().replace({"name": "image_8", "model.pyramid": "image-8"})


def image_256() -> Recipe:
    """SPAE for images of 256x256, one halving more on the way to the same 16x16.

    Source: Table 2 of arXiv 2306.17842; multipliers [1, 1, 2, 2, 4], so that the grid stays.
    Data: as image.
    Cost: about four times image's.
    Expected: FID 3.6, IS 168.5, LPIPS 0.19 from all 6 layers (Table 2).
    Command: accelerate launch -m spae train --recipe image_256 --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    shape = {"model.pyramid": "image-256", "model.network": "image-256", "model.image_size": 256}
    return image().replace({"name": "image_256", **shape})


def imagenet21k() -> Recipe:
    """SPAE of 256x256 on all of ImageNet.

    Source: Table 2 of arXiv 2306.17842, the row SPAE (ImageNet-21k).
    Data: ImageNet-21k, --set data.source=folder:PATH with a folder a synset; else as image.
    Cost: as image_256.
    Expected: FID 3.08, IS 173.79, LPIPS 0.19 from all 6 layers (Table 2).
    Command: accelerate launch -m spae train --recipe imagenet21k --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    return image_256().replace({"name": "imagenet21k"})


def disjoint() -> Recipe:
    """SPAE that has not seen the 20 classes that mini-ImageNet tests.

    Source: appendix C and Table 5 of arXiv 2306.17842 (SPAE_PaLM disjoint).
    Data: ImageNet ILSVRC2012 without those classes; else as image.
    Cost: as image.
    Expected: mini-ImageNet 2-way average over the settings 72.93 % from layers 1-2, 74.98 % from layers 1-3 (Table 5).
    Command: accelerate launch -m spae train --recipe disjoint --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    return image().replace({"name": "disjoint", "data.exclude_classes": "mini-imagenet-test"})


def gpt() -> Recipe:
    """SPAE_GPT: words of GPT's tokenizer, each embedded by text-embedding-ada-002, 1,536 wide.

    Source: section 4.1 and Table 1 of arXiv 2306.17842.
    Data: as image; the words with their embeddings, which OpenAI sells:
        python -m spae vocabulary ada-002 --encoding cl100k_base --embeddings text-embedding-ada-002
    Cost: as image, and some cents for the embeddings.
    Expected: mini-ImageNet from layers 1-2, average over the settings: 2-way 69.51 %, 5-way 53.91 % (Table 1).
    Command: accelerate launch -m spae train --recipe gpt --set data.source=folder:PATH --set
    appearance.perceptual_file=FILE
    """
    return image().replace({"name": "gpt", "model.vocabulary": "ada-002"})
