"""Metrics of a model on held-out images: reconstruction error by layer, and similarity of words to what is shown.

P images, H W pixels, K classes or images with scores of their own, V words, D layers. Videos [P, 3, T, H, W] are
evaluated as images are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from spae.data.embedded.pictograms import Pictograms, load_pictograms
from spae.tokenizers.model import TokenizerModel
from spae.training.objective import as_images
from spae.training.pictogram_data import held_out_images
from spae.training.word_scores import LabelScores, WordScores, label_table

BATCH = 64
SIMILAR = 0.9  # of s of Eq. 6


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
        perceptual: mean distance of two batches, computed on reconstructions from all layers.

    Returns: {"mse/layers_1-l": value, ..., "mse/mean_image": value}, and "perceptual/layers_1-D" with `perceptual`.
    """
    depth = model.quantizer.pyramid.depth
    sums, distance = torch.zeros(depth), 0.0
    for part in images.split(batch):
        part = part.to(model.quantizer.codebook.device)
        decoded = part
        for layer, value in enumerate(model.encode(part).embeddings):
            decoded = model.decode(value).clamp(-1, 1)
            sums[layer] += (decoded - part).square().flatten(1).mean(1).sum().cpu()
        if perceptual is not None:
            distance += perceptual(as_images(part), as_images(decoded)).item() * len(part)
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


def word_similarity(ids: Sequence[Tensor], rows: Tensor, scores: Tensor) -> dict[str, float]:
    """Similarity of each layer's words to what the image shows.

    Args:
        ids: as `layer_words` gives.
        rows: [P] rows of `scores`.
        scores: [K, V], s of Eq. 6.

    Returns: per layer the mean of s ("word_similarity/layer_l") and the fraction of words with s >= 0.9
        ("similar_word_rate/layer_l").
    """
    results = {}
    for layer, found in enumerate(ids, start=1):
        values = scores[rows[:, None], found]
        results[f"word_similarity/layer_{layer}"] = values.mean().item()
        results[f"similar_word_rate/layer_{layer}"] = (values >= SIMILAR).float().mean().item()
    return results


def word_accuracy(ids: Sequence[Tensor], labels: Tensor, scores: Tensor) -> dict[str, float]:
    """Per layer the fraction of words that are closer to their image's class than to any other.

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


class Evaluator:
    """The metrics of a run, computed every `logging.evaluate_every` steps.

    Args:
        parts: images and labels by the prefix of their metrics.
        words: scores of words; None leaves similarity out.
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
        self._by_label = isinstance(words, LabelScores)
        # The images stay the same, so their scores do.
        self._tables = {} if words is None else {name: words.scores(*part) for name, part in parts.items()}

    def __call__(self, model: TokenizerModel) -> dict[str, float]:
        """Args: a model in evaluation mode, float32. Returns {"PART/METRIC": value, ...}."""
        results: dict[str, float] = {}
        for name, (images, labels) in self.parts.items():
            found = reconstruction_error(model, images, perceptual=self._perceptual)
            if name in self._tables and model.quantizer.table is not None:
                ids, (table, rows) = layer_words(model, images), self._tables[name]
                found |= word_similarity(ids, rows, table)
                if self._by_label:
                    found |= word_accuracy(ids, labels, table)
            results |= {f"{name}/{key}": value for key, value in found.items()}
        return results


def label_scores(pictograms: Pictograms, words: Sequence[str]) -> Tensor:
    """s of Eq. 6 between every concept's name and every word. [K, V]."""
    return label_table([concept.name for concept in pictograms.concepts], words)


def held_out_pictograms(pictograms: Pictograms, size: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Both kinds of images that training never sees, [P, 3, size, size], and their concepts [P].

    Returns: "held_out_style", trained concepts in the held-out style, and "held_out_concept", held-out concepts.
    """
    return {
        f"held_out_{name}": held_out_images(pictograms, size, new)
        for name, new in (("style", False), ("concept", True))
    }


def evaluate_pictograms(model: TokenizerModel, size: int, words: Sequence[str]) -> dict[str, float]:
    """The metrics of a model on both kinds of pictograms that training never sees.

    Args:
        size: side of the model's images.
        words: the vocabulary's; unused for a learned codebook.

    Returns: "held_out_style/..." for the trained concepts in another style, "held_out_concept/..." for the others.
    """
    pictograms = load_pictograms()
    scores = LabelScores(label_scores(pictograms, words), ())
    return Evaluator(held_out_pictograms(pictograms, size), scores)(model)
