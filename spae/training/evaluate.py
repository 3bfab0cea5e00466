"""How good a model is on images it never saw: redrawing error by layer, and how apt its words are.

P images, H W pixels, K classes or images with scores of their own, V words, D layers. Clips [P, 3, T, H, W] are
looked at as images are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from spae.data.embedded.pictograms import Pictograms
from spae.tokenizers.model import TokenizerModel
from spae.training.images import held_out_images
from spae.training.objective import as_images
from spae.training.word_scores import LabelScores, WordScores, label_table

BATCH = 64
APT = 0.9


@torch.no_grad()
def reconstruction_error(
    model: TokenizerModel,
    images: Tensor,
    batch: int = BATCH,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """Mean squared error on [-1, 1] from the first l layers, l = 1..D, and of the mean image.

    Args:
        images: [P, 3, H, W] or [P, 3, T, H, W] in [-1, 1].
        perceptual: mean distance of two batches, taken of what all layers draw.

    Returns: {"mse/layers_1-l": value, ..., "mse/mean_image": value}, and "perceptual/layers_1-D" where asked.
    """
    depth = model.quantizer.pyramid.depth
    sums, distance = torch.zeros(depth), 0.0
    for part in images.split(batch):
        part = part.to(model.quantizer.codebook.device)
        drawn = part
        for layer, value in enumerate(model.encode(part).embeddings):
            drawn = model.decode(value).clamp(-1, 1)
            sums[layer] += (drawn - part).square().flatten(1).mean(1).sum().cpu()
        if perceptual is not None:
            distance += perceptual(as_images(part), as_images(drawn)).item() * len(part)
    scores = {f"mse/layers_1-{layer + 1}": (sums[layer] / len(images)).item() for layer in range(depth)}
    scores["mse/mean_image"] = (images - images.mean(0)).square().mean().item()
    if perceptual is not None:
        scores[f"perceptual/layers_1-{depth}"] = distance / len(images)
    return scores


@torch.no_grad()
def layer_words(model: TokenizerModel, images: Tensor, batch: int = BATCH) -> list[Tensor]:
    """The ids of each layer, D tensors [P, N_l] on the CPU. Images as for `reconstruction_error`."""
    device = model.quantizer.codebook.device
    parts = [model.encode(part.to(device)).ids for part in images.split(batch)]
    return [torch.cat(layer).cpu() for layer in zip(*parts, strict=True)]


def aptness(ids: Sequence[Tensor], rows: Tensor, scores: Tensor) -> dict[str, float]:
    """How close each layer's words are to what the image shows.

    Args:
        ids: as `layer_words` gives.
        rows: [P] rows of `scores`.
        scores: [K, V], s of Eq. 6.

    Returns: per layer the mean of s ("aptness/layer_l") and the share of words with s >= 0.9 ("apt_words/layer_l").
    """
    results = {}
    for layer, found in enumerate(ids, start=1):
        values = scores[rows[:, None], found]
        results[f"aptness/layer_{layer}"] = values.mean().item()
        results[f"apt_words/layer_{layer}"] = (values >= APT).float().mean().item()
    return results


def word_accuracy(ids: Sequence[Tensor], labels: Tensor, scores: Tensor) -> dict[str, float]:
    """Per layer the share of words that are closer to their image's class than to any other.

    Args:
        ids: as `layer_words` gives.
        labels: [P] classes.
        scores: [K, V], a row a class.

    Returns: {"word_accuracy/layer_l": value, ...}.
    """
    nearest = scores.argmax(0)
    return {
        f"word_accuracy/layer_{layer}": (nearest[found] == labels[:, None]).float().mean().item()
        for layer, found in enumerate(ids, start=1)
    }


def word_aptness(
    model: TokenizerModel, images: Tensor, labels: Tensor, scores: Tensor, batch: int = BATCH
) -> dict[str, float]:
    """`aptness` of a model; empty for a learned codebook, whose entries are no words."""
    if model.quantizer.table is None:
        return {}
    return aptness(layer_words(model, images, batch), labels, scores)


class Evaluator:
    """What a trainer looks at every so many steps.

    Args:
        parts: images and labels by the name that their figures begin with.
        words: what words are scored by; None leaves them out.
        perceptual: as for `reconstruction_error`.
    """

    def __init__(
        self,
        parts: Mapping[str, tuple[Tensor, Tensor]],
        words: WordScores | None = None,
        perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.parts = parts
        self._perceptual = perceptual
        self._named = isinstance(words, LabelScores)
        # The images stay the same, so their scores do.
        self._tables = {} if words is None else {name: words.scores(*part) for name, part in parts.items()}

    def __call__(self, model: TokenizerModel) -> dict[str, float]:
        """Args: a model in evaluation mode, float32. Returns {"PART/FIGURE": value, ...}."""
        results: dict[str, float] = {}
        for name, (images, labels) in self.parts.items():
            found = reconstruction_error(model, images, perceptual=self._perceptual)
            if name in self._tables and model.quantizer.table is not None:
                ids, (table, rows) = layer_words(model, images), self._tables[name]
                found |= aptness(ids, rows, table)
                if self._named:
                    found |= word_accuracy(ids, labels, table)
            results |= {f"{name}/{key}": value for key, value in found.items()}
        return results


def label_scores(pictograms: Pictograms, words: Sequence[str]) -> Tensor:
    """s of Eq. 6 between every concept's name and every word. [K, V]."""
    return label_table([concept.name for concept in pictograms.concepts], words)


def held_out_pictograms(pictograms: Pictograms, size: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Both kinds of images that training never sees, [P, 3, size, size], and their concepts [P].

    Returns: "held_out_style", the concepts trained on in the style that is not, and "held_out_concept", the others.
    """
    return {
        f"held_out_{name}": held_out_images(pictograms, size, new)
        for name, new in (("style", False), ("concept", True))
    }


def held_out_scores(model: TokenizerModel, pictograms: Pictograms, size: int, scores: Tensor) -> dict[str, float]:
    """Both figures on both kinds of pictograms that training never sees.

    Args:
        size: side of the model's images.
        scores: [K, V], as `label_scores` gives; unused for a learned codebook.

    Returns: "held_out_style/..." for the concepts trained on in other styles, "held_out_concept/..." for the others.
    """
    return Evaluator(held_out_pictograms(pictograms, size), LabelScores(scores, ()))(model)
