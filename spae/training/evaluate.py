"""How good a model is on pictures it never saw: redrawing error by layer, and how apt its words are.

P pictures, R side in pixels, V words, D layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from spae.data.pictograms import Pictograms
from spae.quantizers import StreamingAverageQuantizer
from spae.semantics.label_text import text_features
from spae.semantics.pool import similarity
from spae.tokenizers.model import TokenizerModel
from spae.training.pictures import held_out_pictures


@torch.no_grad()
def redrawing_error(model: TokenizerModel, pictures: Tensor, batch: int = 64) -> dict[str, float]:
    """Mean squared error on [-1, 1] from the first l layers, l = 1..D, and of the mean picture.

    Args:
        pictures: [P, 3, R, R] in [-1, 1].

    Returns: {"mse/layers_1-l": value, ..., "mse/mean_picture": value}.
    """
    depth = model.quantizer.pyramid.depth
    sums = torch.zeros(depth)
    for part in pictures.split(batch):
        quantized = model.encode(part)
        for layer in range(depth):
            drawn = model.decode(quantized.embeddings[layer]).clamp(-1, 1)
            sums[layer] += (drawn - part).square().mean((1, 2, 3)).sum()
    scores = {f"mse/layers_1-{layer + 1}": (sums[layer] / len(pictures)).item() for layer in range(depth)}
    scores["mse/mean_picture"] = (pictures - pictures.mean(0)).square().mean().item()
    return scores


@torch.no_grad()
def word_aptness(
    model: TokenizerModel, pictures: Tensor, labels: Tensor, scores: Tensor, batch: int = 64
) -> dict[str, float]:
    """How close each layer's words are to the label's text.

    Args:
        pictures: [P, 3, R, R] in [-1, 1].
        labels: [P] rows of `scores`.
        scores: [K, V], s of Eq. 6.

    Returns: per layer the mean of s ("aptness/layer_l") and the share of words with s >= 0.9
        ("apt_words/layer_l"); empty for a learned codebook, whose entries are no words.
    """
    if not isinstance(model.quantizer, StreamingAverageQuantizer):
        return {}
    depth = model.quantizer.pyramid.depth
    found: list[list[Tensor]] = [[] for _ in range(depth)]
    for part, names in zip(pictures.split(batch), labels.split(batch), strict=True):
        quantized = model.encode(part)
        for layer, ids in enumerate(quantized.ids):
            found[layer].append(scores[names[:, None], ids])
    results = {}
    for layer, parts in enumerate(found, start=1):
        values = torch.cat(parts)
        results[f"aptness/layer_{layer}"] = values.mean().item()
        results[f"apt_words/layer_{layer}"] = (values >= 0.9).float().mean().item()
    return results


def label_scores(pictograms: Pictograms, words: Sequence[str]) -> Tensor:
    """s of Eq. 6 between every concept's name and every word. [K, V]."""
    return similarity(text_features([concept.name for concept in pictograms.concepts]), text_features(words))


def held_out_scores(model: TokenizerModel, pictograms: Pictograms, size: int, scores: Tensor) -> dict[str, float]:
    """Both scores on both kinds of pictures that training never sees.

    Args:
        size: side of the model's pictures.
        scores: [K, V], as `label_scores` gives; unused for a learned codebook.

    Returns: "held_out_style/..." for the concepts trained on in other styles, "held_out_concept/..." for the others.
    """
    results: dict[str, float] = {}
    for name, new in (("style", False), ("concept", True)):
        pictures, labels = held_out_pictures(pictograms, size, new)
        found = redrawing_error(model, pictures) | word_aptness(model, pictures, labels, scores)
        results |= {f"held_out_{name}/{key}": value for key, value in found.items()}
    return results
