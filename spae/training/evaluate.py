"""Metrics of a model on held-out images: reconstruction error by layer, and similarity of words to what is shown.

P images, H W pixels, K classes or images with scores of their own, V words, D layers. Videos [P, 3, T, H, W] are
evaluated as images are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spae.data.embedded.pictograms import Pictograms
from spae.data.image_file import SUFFIXES, read_image
from spae.data.opening import open_set
from spae.errors import CorruptImage, DataError
from spae.tokenizers.model import TokenizerModel, to_tensor
from spae.training.objective import as_images
from spae.training.pictogram_data import held_out_images
from spae.training.word_scores import LabelScores, WordScores, label_table
from spae.work_progress import report_progress

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
    for number, part in enumerate(images.split(batch)):
        report_progress("reconstructions", number * batch, len(images))
        part = part.to(model.quantizer.codebook.device)
        decoded = part
        for layer, value in enumerate(model.encode(part).embeddings):
            decoded = model.decode(value).clamp(-1, 1)
            sums[layer] += (decoded - part).square().flatten(1).mean(1).sum().cpu()
        if perceptual is not None:
            distance += perceptual(as_images(part), as_images(decoded)).item() * len(part)
    report_progress("reconstructions", len(images), len(images))
    scores = {f"mse/layers_1-{layer + 1}": (sums[layer] / len(images)).item() for layer in range(depth)}
    scores["mse/mean_image"] = (images - images.mean(0)).square().mean().item()
    if perceptual is not None:
        scores[f"perceptual/layers_1-{depth}"] = distance / len(images)
    return scores


@torch.no_grad()
def layer_words(model: TokenizerModel, images: Tensor, batch: int = BATCH) -> list[Tensor]:
    """The ids of each layer, D tensors [P, N_l] on the CPU. Images as for `reconstruction_error`."""
    device = model.quantizer.codebook.device
    parts: list[tuple[Tensor, ...]] = []
    for part in images.split(batch):
        report_progress("words of images", len(parts) * batch, len(images))
        parts.append(model.encode(part.to(device)).ids)
    report_progress("words of images", len(images), len(images))
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


def user_images(
    data: str,
    prepare: Callable[[np.ndarray], np.ndarray],
    words: Sequence[str],
    limit: int,
    warn: Callable[[str], object],
) -> tuple[tuple[Tensor, Tensor], LabelScores | None]:
    """Images of a user with their labels, and the scores of words against them.

    Args:
        data: what `--data` takes; or a folder of images without class folders, or one image.
        prepare: an image of any size to the model's.
        words: the vocabulary's.
        limit: at most so many images, spread evenly.
        warn: called with one line where images cannot be used.

    Returns: images [P, 3, H, W] in [-1, 1] and labels [P]; scores by the names of classes, None without any.

    Raises:
        UnknownName, DataError: no such data, or none of the images can be used.
    """
    files = plain_images(Path(data))
    if files:
        names: list[str] = []
        wanted = [(lambda path=path: read_image(path, str(path)), 0) for path in files]
    else:
        found = open_set(data)
        names = [one.name for one in found.classes]
        ids = {image: number for number, one in enumerate(found.classes) for image in one.query}
        wanted = [(lambda image=image: found.image(image), number) for image, number in ids.items()]
    chosen = spread(torch.arange(len(wanted)), limit).tolist()
    pixels, labels, wrong = [], [], []
    for number, place in enumerate(chosen):
        read, label = wanted[place]
        try:
            pixels.append(prepare(read()))
            labels.append(label)
        except CorruptImage as error:
            wrong.append(str(error))
        if number % BATCH == 0 or number + 1 == len(chosen):
            report_progress("images read", number + 1, len(chosen))
    if wrong:
        warn(f"{len(wrong)} of {len(chosen)} images cannot be used and are left out: {wrong[0]}")
    if not pixels:
        raise DataError(f"{data}: none of {len(chosen)} images can be used ({wrong[0]})")
    scores = LabelScores(label_table(names, words), ()) if names else None
    return (to_tensor(np.stack(pixels)), torch.tensor(labels)), scores


def plain_images(path: Path) -> list[Path]:
    """The images right in a folder, or the one image of that name; [] for anything else, such as class folders."""
    if path.is_file():
        return [path] if path.suffix.lower() in SUFFIXES else []
    if not path.is_dir():
        return []
    entries = sorted(one for one in path.iterdir() if not one.name.startswith("."))
    return [one for one in entries if one.suffix.lower() in SUFFIXES and not one.is_dir()]


def spread(rows: Tensor, limit: int) -> Tensor:
    """At most `limit` rows, spread evenly over all."""
    if len(rows) <= limit:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, limit).round().long()]
