"""What a visual tokenizer is to the rest of the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from spae.tokens import ImageTokens


@runtime_checkable
class Tokenizer(Protocol):
    """Images to words and back.

    Attributes:
        name: the name in the registry, or of the checkpoint.
        fingerprint: sha256 over configuration, weights and vocabulary; two tokenizers that
            could give different words never share it.
        depth: D, the number of layers of its pyramid (1 for a flat tokenizer).
        size: the side in pixels to which images are resized.
    """

    name: str
    fingerprint: str
    depth: int
    size: int

    def encode(self, images: Sequence[np.ndarray], depth: int | None = None) -> list[ImageTokens]:
        """Args: images, each [H, W, 3] uint8 RGB, any size. Returns the tokens of each, in order.

        With `depth`, only the first so many layers are worked out.
        """
        ...

    def decode(self, tokens: Sequence[ImageTokens], layers: Sequence[int] | None = None) -> list[np.ndarray]:
        """Images [size, size, 3] uint8 RGB from the tokens of `layers` (1-based; None is all of them)."""
        ...

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """The image as the tokenizer sees it: cropped and resized to [size, size, 3] uint8 RGB."""
        ...
