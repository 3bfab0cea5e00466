"""An image as words: the value that a tokenizer gives to a task.

D layers, N_l tokens in layer l (layer 1 is the coarsest).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spae.errors import InputError


@dataclass(frozen=True)
class ImageTokens:
    """The pyramid of tokens of one image.

    Attributes:
        ids: per layer, N_l indices into the tokenizer's vocabulary, raster order.
        words: per layer, the N_l words shown for those ids.
        grids: per layer, its (rows, columns); N_l = rows * columns.
        join: separator of words in text.
    """

    ids: tuple[tuple[int, ...], ...]
    words: tuple[tuple[str, ...], ...]
    grids: tuple[tuple[int, int], ...]
    join: str = " "

    def __post_init__(self) -> None:
        sizes = [rows * columns for rows, columns in self.grids]
        for what, layers in (("ids", self.ids), ("words", self.words)):
            if [len(layer) for layer in layers] != sizes:
                raise InputError(f"{what} per layer must be {sizes}, got {[len(layer) for layer in layers]}")

    def first_layers(self, depth: int) -> ImageTokens:
        """The tokens of layers 1 to `depth`; of all where there are fewer."""
        if depth >= len(self.ids):
            return self
        return ImageTokens(self.ids[:depth], self.words[:depth], self.grids[:depth], self.join)

    def text(self, layers: Sequence[int]) -> str:
        """The SPAE string: the words of `layers` (1-based), layer by layer, each in raster order.

        Raises:
            InputError: a layer is not in 1..D.
        """
        depth = len(self.words)
        for layer in layers:
            if not 1 <= layer <= depth:
                raise InputError(f"layers run from 1 to {depth}, got {layer}: pass --layers 1-{depth} or fewer")
        return self.join.join(word for layer in layers for word in self.words[layer - 1])
