"""How close every word is to what an image shows, for the semantic loss and for evaluation.

B batch, K classes, V words, E width of the features, H W pixels, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from spae.errors import InputError
from spae.losses.semantic import Pool, semantic_pools
from spae.semantics.label_text import text_features
from spae.semantics.pool import similarity
from spae.training.recipe import Recipe


class WordScores(Protocol):
    """One way to score words against images."""

    def pools(self, images: Tensor, labels: Tensor) -> tuple[tuple[Pool, ...], Tensor]:
        """C_l of Eq. 4 for layers 1..D', and the row [B] of each image in them.

        Args:
            images: [B, 3, H, W] or [B, 3, T, H, W] in [-1, 1].
            labels: [B] classes.
        """
        ...

    def scores(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """s of Eq. 6 as a table on the CPU, and the row [B] of each image in it."""
        ...


class LabelScores:
    """By the text of an image's label: one row a class.

    Args:
        table: [K, V], s of Eq. 6.
        thresholds: rho_1 ... rho_D'.
        device: where the pools are wanted.
    """

    def __init__(self, table: Tensor, thresholds: Sequence[float], device: torch.device | str = "cpu") -> None:
        self.table = table
        self._pools = semantic_pools(table.to(device), thresholds)

    def pools(self, images: Tensor, labels: Tensor) -> tuple[tuple[Pool, ...], Tensor]:
        return self._pools, labels

    def scores(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return self.table, labels


class ImageFeatures(Protocol):
    """What of a `Clip` is used here."""

    def image_features(self, images: Tensor) -> Tensor: ...

    def video_features(self, frames: Tensor) -> Tensor: ...


class ClipScores:
    """By a CLIP model, from the pixels that the tokenizer sees: one row an image.

    Args:
        clip: of `spae.semantics.clip`.
        words: [V, E] features of the vocabulary.
        thresholds: rho_1 ... rho_D'.
    """

    def __init__(self, clip: ImageFeatures, words: Tensor, thresholds: Sequence[float]) -> None:
        self._clip = clip
        self._words = words
        self._thresholds = thresholds

    def pools(self, images: Tensor, labels: Tensor) -> tuple[tuple[Pool, ...], Tensor]:
        return semantic_pools(self._score(images), self._thresholds), torch.arange(len(images)).to(labels.device)

    def scores(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        parts = [self._score(part.to(self._words.device)).cpu() for part in images.split(64)]
        return torch.cat(parts), torch.arange(len(images))

    @torch.no_grad()
    def _score(self, images: Tensor) -> Tensor:
        clips = images.ndim == 5
        # A CLIP model reads frames as images; ours come with colours before time.
        features = (
            self._clip.video_features(images.transpose(1, 2)) if clips else self._clip.image_features(images)
        )  # fmt: skip
        with torch.autocast(features.device.type, enabled=False):
            return similarity(features.float().to(self._words.device), self._words)


def label_table(classes: Sequence[str], words: Sequence[str]) -> Tensor:
    """s of Eq. 6 between the text of every class and every word. [K, V]."""
    return similarity(text_features(classes), text_features(words))


def open_scores(
    recipe: Recipe, classes: Sequence[str], words: Sequence[str], device: torch.device | str = "cpu"
) -> WordScores | None:
    """What a recipe's `semantics` asks for; None where it asks for nothing.

    Raises:
        InputError: label text for data without classes.
        WeightsError: a text encoder or CLIP model is not here.
    """
    if recipe.semantics == "none":
        return None
    if recipe.semantics == "label_text":
        if not classes:
            raise InputError("label_text scores words by the text of classes, and these data have none: use open_clip")
        return LabelScores(label_table(classes, words), recipe.thresholds, device)
    from spae.semantics.clip import open_clip_model

    clip = open_clip_model(recipe.clip_model, recipe.clip_pretrained or None, device)
    return ClipScores(clip, clip.word_features(words).to(device), recipe.thresholds)
