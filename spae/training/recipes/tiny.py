"""The twins: every recipe of the paper at a size that trains in minutes on a CPU, on data that comes with this package.

A twin has the structure of its recipe: quantizer, kind of pyramid, losses, schedule. It is small where that one is
large: a quarter of the filters, images of 32x32 (64x64 for the twins of 256x256), a latent grid of 4x4, 300 steps
of 16. In the place of what cannot be had without a network: pictograms for ImageNet, moving ones for Kinetics, the
concept's name (read by MiniLM) for CLIP, EfficientNet-Lite0 for ResNet-50. Their figures are of no table of the
paper: a twin shows that a recipe trains, and how.
"""

from __future__ import annotations

from spae.training.recipe import Recipe, parse_recipe
from spae.training.recipes import ablations, baselines, image, picto, video
from spae.training.recipes import mnist as digits

NETWORKS = {"image": "picto", "image-256": "picto-256", "video": "picto-video"}
SIZES = {128: 32, 256: 64}
# Layers up to the whole grid, and as many of the whole grid as the recipe has.
PYRAMIDS: dict[object, str | tuple[int | tuple[int, ...], ...]] = {
    "image": "picto",
    "image-8": (1, 2, 4, 4, 4, 4),
    "image-256": "picto",
    "video": ((1, 1, 1), (1, 2, 2), (2, 2, 2), (4, 4, 4), (4, 4, 4)),
    (16,): (4,),
    (16, 16): (4, 4),
}


def twin(full: Recipe, **changed: object) -> Recipe:
    """The recipe made small.

    Args:
        full: of a network in NETWORKS.
        changed: fields with values of their own.
    """
    pyramid = PYRAMIDS[full.pyramid]
    values = full.model_dump() | {
        "name": f"tiny_{full.name}",
        "pyramid": pyramid,
        "network": NETWORKS[full.network],
        "size": SIZES[full.size],
        "vocabulary": "smollm2",
        "semantics": "label_text" if full.thresholds else "none",
        "semantic_positions": 4,
        "semantic_weight_max": 1.0,  # unbounded, the dynamic weight runs away on a small set of images
        "perceptual": "none" if full.perceptual == "none" else "efficientnet-lite0",
        "perceptual_side": 0 if full.perceptual == "none" else 64,
        "data": "pictograms",
        "exclude": "",
        "steps": 300,
        "batch": 16,
        "drawn": 16,
        "learning_rate": 1e-3,
        "warmup": 20,
        "ema": 0.99,
        "precision": "no",
        "evaluate_every": 150,
        "checkpoint_every": 50,
        "samples_every": 150,
    }
    small = parse_recipe(values | {"thresholds": ()} | {"semantics": "none"}, "twin").layers
    # The semantic loss stays on the layers up to the first one that is the whole grid.
    last = next(i for i, grid in enumerate(small.layers) if grid == small.grid) + 1
    return parse_recipe(values | {"thresholds": full.thresholds[:last]} | changed, "twin")


def cut_short(full: Recipe, name: str) -> Recipe:
    """A recipe that is small already, for fewer and smaller steps."""
    fewer = {"name": name, "steps": 300, "batch": 16, "drawn": 16, "warmup": 20, "precision": "no"}
    looked_at = {"evaluate_every": 150, "checkpoint_every": 50, "samples_every": 150}
    return parse_recipe(full.model_dump() | fewer | looked_at, name)


def tiny_image() -> Recipe:
    """The twin of image: layers of 1, 4, 16 and 16 words.

    Source: the recipe image.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_image
    """
    return twin(image.image())


def tiny_image_8() -> Recipe:
    """The twin of image_8: layers of 1, 4, and four of 16 words.

    Source: the recipe image_8.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_image_8
    """
    return twin(image.image_8())


def tiny_image_256() -> Recipe:
    """The twin of image_256: images twice as wide, halved once more to the same grid.

    Source: the recipe image_256.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_image_256
    """
    return twin(image.image_256())


def tiny_imagenet21k() -> Recipe:
    """The twin of imagenet21k, which differs from image_256 in its data alone; so it is tiny_image_256 by another name.

    Source: the recipe imagenet21k.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_imagenet21k
    """
    return twin(image.imagenet21k())


def tiny_disjoint() -> Recipe:
    """The twin of disjoint. The embedded pictograms hold concepts out of all training, so it is tiny_image by another
    name.

    Source: the recipe disjoint.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_disjoint
    """
    return twin(image.disjoint())


def tiny_gpt() -> Recipe:
    """The twin of gpt: the words of SmolLM2, each embedded by a text model (MiniLM, 384 wide) as ada-002 would.

    Source: the recipe gpt.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_gpt
    """
    return twin(image.gpt(), vocabulary="smollm2-minilm")


def tiny_mnist() -> Recipe:
    """The twin of mnist: the same model, one tenth of the steps.

    Source: the recipe mnist.
    Data: the embedded digits.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_mnist
    """
    return cut_short(digits.mnist(), "tiny_mnist")


def tiny_video() -> Recipe:
    """The twin of video: 16 frames of 32x32 in a grid of 4x4x4, begun with the committed picto_spae_plain, inflated.

    Source: the recipe video. Its latents are held to twice the codebook's spread, because picto_spae_plain's are.
    Data: the embedded pictograms, moving.
    Cost: 100 steps of 4 clips, some minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_video
    """
    return twin(video.video(), initial="picto_spae_plain", latent_scale=2.0, batch=4, drawn=4, steps=100)


def tiny_vqgan() -> Recipe:
    """The twin of vqgan: 16 of 1,024 learned entries.

    Source: the recipe vqgan.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_vqgan
    """
    return twin(baselines.vqgan())


def tiny_lqae_without_lm() -> Recipe:
    """The twin of lqae without its masked language model, which cannot be had here: picto_lqae_without_lm, cut short.

    Source: the recipe lqae; what is missing, picto_lqae_without_lm says.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_lqae_without_lm
    """
    return cut_short(picto.picto_lqae_without_lm(), "tiny_lqae_without_lm")


def tiny_ablation_vq() -> Recipe:
    """The twin of ablation_vq: a learned codebook, one layer.

    Source: the recipe ablation_vq.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_ablation_vq
    """
    return twin(ablations.ablation_vq())


def tiny_ablation_frozen_codebook() -> Recipe:
    """The twin of ablation_frozen_codebook: words, one layer.

    Source: the recipe ablation_frozen_codebook.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_ablation_frozen_codebook
    """
    return twin(ablations.ablation_frozen_codebook())


def tiny_ablation_semantic() -> Recipe:
    """The twin of ablation_semantic: words and the semantic loss, one layer.

    Source: the recipe ablation_semantic.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_ablation_semantic
    """
    return twin(ablations.ablation_semantic())


def tiny_ablation_rq() -> Recipe:
    """The twin of ablation_rq: two whole layers by residual quantization.

    Source: the recipe ablation_rq.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_ablation_rq
    """
    return twin(ablations.ablation_rq())


def tiny_ablation_saq() -> Recipe:
    """The twin of ablation_saq: two whole layers by streaming average quantization.

    Source: the recipe ablation_saq.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_ablation_saq
    """
    return twin(ablations.ablation_saq())


def tiny_ablation_pyramid() -> Recipe:
    """The twin of ablation_pyramid: the pyramid: tiny_image by another name.

    Source: the recipe ablation_pyramid.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_ablation_pyramid
    """
    return twin(ablations.ablation_pyramid())


def tiny_ablation_one_threshold() -> Recipe:
    """The twin of ablation_one_threshold: one threshold for all layers.

    Source: the recipe ablation_one_threshold.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_ablation_one_threshold
    """
    return twin(ablations.ablation_one_threshold())


def tiny_ablation_constant_weight() -> Recipe:
    """The twin of ablation_constant_weight: the semantic loss at weight 1.

    Source: the recipe ablation_constant_weight.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_ablation_constant_weight
    """
    return twin(ablations.ablation_constant_weight())


def tiny_ablation_no_perceptual() -> Recipe:
    """The twin of ablation_no_perceptual: no perceptual loss.

    Source: the recipe ablation_no_perceptual.
    Data: the embedded pictograms.
    Cost: 300 steps of 16, 5 to 15 minutes on one core.
    Expected: its losses fall; no figure of the paper.
    Command: python -m spae train --recipe tiny_ablation_no_perceptual
    """
    return twin(ablations.ablation_no_perceptual())
