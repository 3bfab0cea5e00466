"""What a visual tokenizer is to the rest of the project. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from spae.tokens import ImageTokens


@runtime_checkable
class Tokenizer(Protocol):
    """Images to words and back.

    Attributes:
        name: its name in the registry, or of the checkpoint.
        fingerprint: sha256 over configuration, weights and vocabulary; two tokenizers that could give different words
            never share it.
        family: "spae", "vqgan", "lqae", or a name of a plug-in's own; a fact, never read out of the name.
        depth: D, the number of layers of its pyramid (1 for a flat tokenizer).
        image_size: side in pixels to which images are resized.
        vocabulary: the word that each id is shown as, by id.
    """

    name: str
    fingerprint: str

    @property
    def family(self) -> str: ...
    @property
    def depth(self) -> int: ...
    @property
    def image_size(self) -> int: ...
    @property
    def vocabulary(self) -> Sequence[str]: ...

    def encode(self, images: Sequence[np.ndarray], depth: int | None = None) -> list[ImageTokens]:
        """Args: images, each [H, W, 3] uint8 RGB, any size. Returns the tokens of each, in order.

        With `depth`, only the first `depth` layers are computed.
        """
        ...

    def decode(self, tokens: Sequence[ImageTokens], layers: Sequence[int] | None = None) -> list[np.ndarray]:
        """Images [image_size, image_size, 3] uint8 RGB from the tokens of `layers` (1-based; None is all of them)."""
        ...

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """The image as the tokenizer sees it: cropped and resized to [image_size, image_size, 3] uint8 RGB."""
        ...
