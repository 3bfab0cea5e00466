"""SAQ in which the last layers look words up by a few coordinates of their embeddings: to draw with, not to name.

V words, C width of an embedding, K drawing coordinates, B batch, N positions, D layers.

A frozen codebook draws badly. Of SmolLM2's words the first main direction has a spread of 0.92, the second 0.35 and
the ninth 0.15; the other five hundred, small as each is, make up most of every distance. So the nearest word to a
point of the plane that images need is one of a few short ones, wherever the point lies: two words of 576 channels
tell 8.6 bits of eight such coordinates. Compared by these coordinates alone, each at the same spread, two words tell
17 bits, and thousands are in use. The words stay the language model's, their coordinates are linear in its
embeddings, and Eq. 2 and 3 hold as they stand, in each layer for what that layer compares. Not in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spae.errors import InputError
from spae.pyramid import Pyramid
from spae.quantizers.saq import StreamingAverageQuantizer
from spae.quantizers.search import MAX_BYTES, WordTable


def projected_coordinates(codebook: Tensor, width: int) -> Tensor:
    """The words' first main components, each at mean 0 and spread 1. [V, C] -> [V, K].

    Args:
        width: K, up to C.

    Raises:
        InputError: there are not so many.
    """
    if not 0 < width <= codebook.shape[1]:
        raise InputError(f"words of {codebook.shape[1]} channels have so many coordinates at most, got {width}")
    # In float64: another machine's order of summing is rounded away.
    words = codebook.double() - codebook.double().mean(0)
    _, directions = torch.linalg.eigh(words.T @ words)
    main = directions[:, -width:].flip(1)
    # A main direction has no sign of its own: the channel that weighs most is positive.
    main = main * main.gather(0, main.abs().argmax(0, keepdim=True)).sign()
    found = words @ main
    return (found / found.std(0)).to(codebook.dtype)


class ProjectedSAQ(StreamingAverageQuantizer):
    """Streaming average quantization over words and, beside their embeddings, their drawing coordinates.

    A word's vector is its embedding followed by its coordinates, C + K channels. All layers but the last `layers`
    compare the first C, as SAQ does; those compare the last K.

    Args:
        words: [V, C] frozen word embeddings.
        pyramid: which positions each of the D layers visits.
        layers: how many of the last layers draw.
        width: K.
        search: arithmetic of the search by embeddings; the one by coordinates is in float32.
        max_bytes: bound on the scores that a search holds at a time.
    """

    def __init__(
        self,
        words: Tensor,
        pyramid: Pyramid,
        layers: int,
        width: int,
        search: torch.dtype = torch.float32,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if not 0 < layers <= pyramid.depth:
            raise InputError(f"of {pyramid.depth} layers 1 to {pyramid.depth} can draw, got {layers}")
        coordinates = projected_coordinates(words, width)
        super().__init__(torch.cat([words, coordinates], 1), pyramid, search, max_bytes)
        self.naming = pyramid.depth - layers
        self.words_width = words.shape[1]
        self.table = WordTable(words, search, max_bytes)
        self.coordinates = WordTable(coordinates, torch.float32, max_bytes)

    def _view(self, layer: int, table: WordTable) -> tuple[slice, WordTable]:
        if layer <= self.naming:
            return slice(self.words_width), table
        return slice(self.words_width, None), self.coordinates
