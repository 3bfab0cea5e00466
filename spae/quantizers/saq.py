"""Streaming average quantization (SAQ), Eq. 2 and 3 of arXiv 2306.17842.

B batch, N positions, C width, V words, D layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spae.errors import InputError, ShapeError
from spae.pyramid import Pyramid
from spae.quantizers.protocol import Quantized, straight_through
from spae.quantizers.search import WordTable


class StreamingAverageQuantizer(nn.Module):
    """Quantizes each position by the running mean of its words.

    The codebook is frozen and not part of the state dict: it belongs to the vocabulary, and
    a checkpoint names the vocabulary by its hash.

    Args:
        codebook: [V, C] frozen word embeddings.
        pyramid: which positions each of the D layers visits.
        search: arithmetic of the search; anything but float32 is for training.
    """

    codebook: Tensor

    def __init__(self, codebook: Tensor, pyramid: Pyramid, search: torch.dtype = torch.float32) -> None:
        super().__init__()
        if codebook.ndim != 2:
            raise ShapeError(f"a codebook is [V, C], got {tuple(codebook.shape)}")
        self.pyramid = pyramid
        self.register_buffer("codebook", codebook.detach().clone(), persistent=False)
        self.table = WordTable(self.codebook, search)
        for layer in range(1, pyramid.depth + 1):
            self.register_buffer(f"positions_{layer}", torch.tensor(pyramid.positions(layer)), persistent=False)

    def _positions(self, layer: int) -> Tensor:
        return self.get_buffer(f"positions_{layer}")

    def forward(self, z: Tensor, depth: int | None = None) -> Quantized:
        """Args: z [B, N, C]. Returns ids per layer [B, N_l] and embeddings [D, B, N, C].

        With `depth`, only the first so many layers are visited, and D is that number.

        Raises:
            ShapeError: N differs from the pyramid's grid, or C from the codebook's width.
        """
        batch, cells, width = z.shape
        if cells != self.pyramid.cells or width != self.codebook.shape[1]:
            raise ShapeError(f"z must be [B, {self.pyramid.cells}, {self.codebook.shape[1]}], got {tuple(z.shape)}")
        depth = self.pyramid.depth if depth is None else depth
        if not 1 <= depth <= self.pyramid.depth:
            raise InputError(f"depth runs from 1 to {self.pyramid.depth}, got {depth}")
        # Eq. 2 telescopes: z_l = z + sum_i (z - e_i) = (n + 1) z - total, n tokens so far here.
        total = z.new_zeros(batch, cells, width)
        count = z.new_zeros(cells)
        ids, embeddings, targets, visited, margins = [], [], [], [], []
        for layer in range(1, depth + 1):
            at = self._positions(layer)
            z_l = (count[at, None] + 1) * z[:, at] - total[:, at]
            flat, margin = self.table.nearest(z_l.detach().reshape(-1, width))
            found = flat.view(batch, len(at))
            total = total.index_add(1, at, self.codebook[found])
            count = count.index_add(0, at, torch.ones_like(count[at]))
            ids.append(found)
            targets.append(z_l)
            embeddings.append(total / count.clamp(min=1)[:, None])
            visited.append(count > 0)
            margins.append(margin.view(batch, len(at)))
        embeddings[-1] = straight_through(z, embeddings[-1])
        return Quantized(tuple(ids), torch.stack(embeddings), tuple(targets), torch.stack(visited), tuple(margins))

    def decode_ids(self, ids: Sequence[Tensor], layers: Sequence[int] | None = None) -> Tensor:
        """The embedding [B, N, C] from ids alone (Eq. 3).

        Args:
            ids: D LongTensors [B, N_l].
            layers: which layers to use (from 1); None is all of them.
        """
        used = range(1, self.pyramid.depth + 1) if layers is None else layers
        if any(not 1 <= layer <= min(len(ids), self.pyramid.depth) for layer in used):
            raise InputError(f"there are ids of layers 1 to {len(ids)}, got layers {list(used)}")
        batch = ids[0].shape[0]
        total = self.codebook.new_zeros(batch, self.pyramid.cells, self.codebook.shape[1])
        count = self.codebook.new_zeros(self.pyramid.cells)
        for layer in used:
            at = self._positions(layer)
            total = total.index_add(1, at, self.codebook[ids[layer - 1]])
            count = count.index_add(0, at, torch.ones_like(count[at]))
        return total / count.clamp(min=1)[:, None]
