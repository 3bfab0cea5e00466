"""A trained model as a tokenizer that is known from its files: its network loads at first use. Imports no torch.

With every token of a run in the token store, no weights are read but for their hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spae.errors import InputError, WeightsError
from spae.tokenizers.model_folder import EMBEDDED, folder_fingerprint, load_config
from spae.tokens import ImageTokens

if TYPE_CHECKING:
    from spae.tokenizers.lexical import LexicalTokenizer
    from spae.vocabulary import LexicalVocabulary


class PretrainedTokenizer:
    """Images to words and back (see `spae.tokenizers.protocol.Tokenizer`).

    Args:
        folder: that `python -m spae train` or `save_pretrained` wrote.
        name: what to call it; the recipe's name by default.

    Raises:
        WeightsError: a file is missing, or config.json is not a model's. That weights and vocabulary fit is checked
            when they are loaded, at first use.
        InputError: the model is of videos.
    """

    def __init__(self, folder: Path, name: str | None = None) -> None:
        config = load_config(folder)
        self.folder = folder
        self.name = name or config.name
        self.family = config.family
        if config.num_frames:
            raise InputError(
                f"{self.name} is a model of videos, in a grid of {config.layers.grid}: this tokenizer reads images; "
                "open it with spae.from_pretrained"
            )
        self.depth = config.depth
        self.image_size = config.image_size
        self.fingerprint = folder_fingerprint(folder)

    @cached_property
    def opened(self) -> LexicalTokenizer:
        """The tokenizer with its network. Raises WeightsError: weights or vocabulary do not fit the configuration."""
        from spae.tokenizers.lexical import LexicalTokenizer

        opened = LexicalTokenizer.from_pretrained(self.folder, self.name)
        if opened.fingerprint != self.fingerprint:
            raise WeightsError(f"{self.folder} has changed since it was named: run again")
        return opened

    @property
    def vocabulary(self) -> Sequence[str]:
        """The word that each id is shown as, by id."""
        return self.opened.vocabulary

    @property
    def lexical_vocabulary(self) -> LexicalVocabulary:
        """The vocabulary that the words are of, with its embeddings."""
        return self.opened.lexical_vocabulary

    def encode(self, images: Sequence[np.ndarray], depth: int | None = None) -> list[ImageTokens]:
        """As `LexicalTokenizer.encode`."""
        return self.opened.encode(images, depth)

    def decode(self, tokens: Sequence[ImageTokens], layers: Sequence[int] | None = None) -> list[np.ndarray]:
        """As `LexicalTokenizer.decode`."""
        return self.opened.decode(tokens, layers)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """As `LexicalTokenizer.prepare`."""
        if image.shape == (self.image_size, self.image_size, 3) and image.dtype == np.uint8:
            return image  # what cropping and resizing would give, without loading torch
        from spae.tokenizers.lexical import middle_square

        return middle_square(image, self.image_size)


def embedded_spae() -> PretrainedTokenizer:
    """The committed SPAE of recipe picto_spae."""
    return PretrainedTokenizer(EMBEDDED / "picto_spae", "spae")


def embedded_spae_plain() -> PretrainedTokenizer:
    """The committed SPAE of recipe picto_spae_plain."""
    return PretrainedTokenizer(EMBEDDED / "picto_spae_plain", "spae-plain")


def embedded_vqgan() -> PretrainedTokenizer:
    """The committed VQGAN of recipe picto_vqgan."""
    return PretrainedTokenizer(EMBEDDED / "picto_vqgan", "vqgan")


def embedded_lqae_without_lm() -> PretrainedTokenizer:
    """The committed autoencoder of recipe picto_lqae_without_lm."""
    return PretrainedTokenizer(EMBEDDED / "picto_lqae_without_lm", "lqae-without-lm")


def embedded_spae_mnist() -> PretrainedTokenizer:
    """The committed SPAE of recipe mnist."""
    return PretrainedTokenizer(EMBEDDED / "mnist", "spae-mnist")
