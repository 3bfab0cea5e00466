"""SAQ whose last layers compare words by a few coordinates of their embeddings, for reconstruction. Not in the paper.

V words, C width of an embedding, K projected coordinates, B batch, N positions, D layers.

A frozen codebook reconstructs badly. Of SmolLM2's embeddings the first principal component has a standard deviation of
0.92, the second 0.35 and the ninth 0.15; the other five hundred, small as each is, make up most of every distance. So
the nearest word to any point of the subspace that images need is one of a few short ones: two words of 576 channels
carry 8.6 bits about eight such coordinates. Compared by these coordinates alone, each scaled to the same deviation, two
words carry 17 bits, and thousands of words are in use. The words stay the language model's, their coordinates are
linear in its embeddings, and Eq. 2 and 3 hold unchanged in each layer, on the channels that the layer compares.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spae.errors import InputError
from spae.pyramid import Pyramid
from spae.quantizers.saq import StreamingAverageQuantizer
from spae.quantizers.search import MAX_BYTES, WordTable


def projected_coordinates(codebook: Tensor, width: int) -> Tensor:
    """The words' first principal components, each of mean 0 and standard deviation 1. [V, C] -> [V, K].

    Args:
        width: K, up to C.

    Raises:
        InputError: K is not in 1..C.
    """
    if not 0 < width <= codebook.shape[1]:
        raise InputError(f"projected coordinates must be 1 to {codebook.shape[1]}, the words' channels, got {width}")
    # In float64: another machine's order of summing is rounded away.
    words = codebook.double() - codebook.double().mean(0)
    _, directions = torch.linalg.eigh(words.T @ words)
    main = directions[:, -width:].flip(1)
    # The sign of a principal direction is arbitrary: its largest entry is made positive.
    main = main * main.gather(0, main.abs().argmax(0, keepdim=True)).sign()
    found = words @ main
    return (found / found.std(0)).to(codebook.dtype)


class ProjectedSAQ(StreamingAverageQuantizer):
    """Streaming average quantization over words' embeddings and their projected coordinates.

    A word's vector is its embedding followed by its coordinates, C + K channels. The last `layers` layers compare the
    last K; all layers before them compare the first C, as SAQ does.

    Args:
        words: [V, C] frozen word embeddings.
        pyramid: which positions each of the D layers visits.
        layers: how many of the last layers compare projected coordinates.
        width: K.
        search: arithmetic of the search by embeddings; the one by coordinates is in float32.
        max_bytes: bound on the scores that a search holds at a time.

    Attributes:
        semantic_layers: how many of the first layers compare whole embeddings.
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
            raise InputError(f"projected layers run from 1 to the {pyramid.depth} of the pyramid, got {layers}")
        coordinates = projected_coordinates(words, width)
        super().__init__(torch.cat([words, coordinates], 1), pyramid, search, max_bytes)
        self.semantic_layers = pyramid.depth - layers
        self.words_width = words.shape[1]
        self.table = WordTable(words, search, max_bytes)
        self.coordinates = WordTable(coordinates, torch.float32, max_bytes)

    def _view(self, layer: int, table: WordTable) -> tuple[slice, WordTable]:
        if layer <= self.semantic_layers:
            return slice(self.words_width), table
        return slice(self.words_width, None), self.coordinates
