"""The base of all quantizers: the pass over the layers of a pyramid, the search, and decoding from ids.

B batch, N positions, N_l positions of layer l, C width, V words, D layers.
A quantizer defines two equations: what a layer looks up, and the embedding that its words stand for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.distributed import all_gather
from spae.errors import InputError, ShapeError
from spae.pyramid import Pyramid
from spae.quantizers.learning import Gradient, Learning, MovingAverage
from spae.quantizers.protocol import Quantized, straight_through
from spae.quantizers.search import MAX_BYTES, WordTable


class Quantizer(nn.Module, ABC):
    """Latents of images or videos to tokens of a pyramid and back.

    A frozen codebook is a buffer outside the state dict: it belongs to the vocabulary, and a
    checkpoint names the vocabulary by its hash. So no optimizer, weight average or loaded state
    changes it. A learned codebook is saved.

    Args:
        codebook: [V, C] word embeddings, or the initial learned codebook; copied.
        pyramid: which positions each of the D layers visits, of an image or a video.
        learning: None keeps the codebook frozen.
        l2_normalize: vectors and words are compared at length 1; embeddings keep their own length.
        search: arithmetic of a frozen codebook's search; anything but float32 is for training.
        max_bytes: bound on the scores that the search holds at a time.

    Attributes:
        table: the search over a frozen codebook; None where it is learned.
    """

    codebook: Tensor
    usage: Tensor
    sums: Tensor
    table: WordTable | None
    TRAINING_ONLY = ("usage", "sums")
    """Buffers that only training needs: the moving averages behind a codebook."""

    def __init__(
        self,
        codebook: Tensor,
        pyramid: Pyramid,
        *,
        learning: Learning | None = None,
        l2_normalize: bool = False,
        search: torch.dtype = torch.float32,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        super().__init__()
        if codebook.ndim != 2 or not len(codebook):
            raise ShapeError(f"a codebook is [V, C] with at least one word, got {tuple(codebook.shape)}")
        self.pyramid = pyramid
        self.learning = learning
        self.l2_normalize = l2_normalize
        self.max_bytes = max_bytes
        self.table = None
        if learning is None:
            self.table = WordTable(self._compared(codebook.detach()), search, max_bytes)
            # Where the table holds the same numbers, a view into it: no second copy of a large codebook.
            same = search == codebook.dtype and not l2_normalize
            words = self.table.matrix[: len(codebook)] if same else codebook.detach().clone()
            self.register_buffer("codebook", words, persistent=False)
        elif isinstance(learning, Gradient):
            self.codebook = nn.Parameter(codebook.detach().clone())
        else:
            self.register_buffer("codebook", codebook.detach().clone())
            usage = learning.initial_usage
            self.register_buffer("usage", codebook.new_full((len(codebook),), usage))
            self.register_buffer("sums", torch.zeros_like(codebook).add(codebook.detach(), alpha=usage))
        # Not buffers: averaging all buffers of a model would round integers down.
        self._places: dict[torch.device, tuple[Tensor, ...]] = {}

    @abstractmethod
    def _sought(self, z: Tensor, total: Tensor, count: Tensor) -> Tensor:
        """What to look up where `count` words have the sum `total`: z [B, P, C], total [B, P, C], count [P, 1]."""

    @abstractmethod
    def _embedding(self, total: Tensor, count: Tensor) -> Tensor:
        """The embedding of words with the sum `total`; zeros without words. Shapes as for `_sought`."""

    def forward(self, z: Tensor, depth: int | None = None) -> Quantized:
        """Args: z [B, N, C]. Returns ids per layer [B, N_l] and embeddings [D, B, N, C].

        With `depth`, only the first `depth` layers are visited, and D is `depth`. In training, a
        codebook learned by moving average is updated here.

        Raises:
            ShapeError: N differs from the pyramid's grid, or C from the codebook's width.
            InputError: depth is not in 1..D.
        """
        if z.ndim != 3 or z.shape[1:] != (self.pyramid.cells, self.codebook.shape[1]):
            raise ShapeError(f"z must be [B, {self.pyramid.cells}, {self.codebook.shape[1]}], got {tuple(z.shape)}")
        depth = self.pyramid.depth if depth is None else depth
        if not 1 <= depth <= self.pyramid.depth:
            raise InputError(f"depth runs from 1 to {self.pyramid.depth}, got {depth}")
        moving = self._table(z.dtype)
        total, count = torch.zeros_like(z), z.new_zeros(z.shape[1])
        embeddings = z.new_empty(depth, *z.shape)
        ids, targets, visited, margins, channels = [], [], [], [], []
        for layer in range(1, depth + 1):
            at = self._positions(layer)
            part, table = self._view(layer, moving)
            z_l = self._sought(z[:, at, part], total[:, at, part].detach(), count[at, None])
            found, margin = table.nearest(self._compared(z_l.detach().flatten(0, 1)))
            ids.append(found.view(len(z), len(at)))
            margins.append(margin.view(len(z), len(at)))
            targets.append(z_l)
            total, count = self._add(total, count, at, ids[-1])
            embeddings[layer - 1] = self._embedding(total, count[:, None])
            visited.append(count > 0)
            channels.append(part)
        if self.training and isinstance(self.learning, MovingAverage):
            # Of all processes, layer by layer: the rows in the order of a single process.
            rows = torch.cat([all_gather(z_l.detach().flatten(0, 1)) for z_l in targets])
            chosen = torch.cat([all_gather(one.flatten()) for one in ids])
            self.learning.step(self.codebook, self.usage, self.sums, rows, chosen)
        # A position without a token is decoded from zeros whatever its z: no gradient flows to it.
        embeddings[-1] = straight_through(z, embeddings[-1]) * visited[-1][:, None]
        return Quantized(tuple(ids), embeddings, tuple(targets), torch.stack(visited), tuple(margins), tuple(channels))

    def decode_ids(self, ids: Sequence[Tensor], layers: Sequence[int] | None = None) -> Tensor:
        """The embedding [B, N, C] from ids alone; zeros where no layer used has a token.

        Args:
            ids: LongTensors [B, N_l] of all layers, or of the first few.
            layers: which layers to use (from 1); None is all that `ids` has.

        Raises:
            InputError: a layer that `ids` lacks or that is named twice, or an id outside the codebook.
            ShapeError: the ids of a layer have another shape.
        """
        depth = min(len(ids), self.pyramid.depth)
        used = range(1, depth + 1) if layers is None else layers
        if not depth or any(not 1 <= layer <= depth for layer in used) or len(set(used)) < len(used):
            raise InputError(f"layers must be of 1 to {depth}, each at most once, got {list(used)}")
        batch = len(ids[0])
        total = self.codebook.new_zeros(batch, self.pyramid.cells, self.codebook.shape[1])
        count = self.codebook.new_zeros(self.pyramid.cells)
        for layer in used:
            at = self._positions(layer)
            self._check_ids(layer, ids[layer - 1], (batch, len(at)))
            total, count = self._add(total, count, at, ids[layer - 1])
        return self._embedding(total, count[:, None])

    def codebook_loss(self, quantized: Quantized) -> Tensor:
        """Sum over layers of the mean of (sg(z_l) - e(k_l))^2 (1711.00937, Eq. 3); a scalar.

        Its gradient updates a codebook learned by `Gradient`; for any other it is a constant.
        """
        terms = [
            (z_l.detach() - self.codebook[found][..., part]).square().mean()
            for z_l, found, part in zip(quantized.targets, quantized.ids, quantized.channels, strict=True)
        ]
        return torch.stack(terms).sum()

    def _positions(self, layer: int) -> Tensor:
        """[N_l] positions of a layer's tokens, on the codebook's device."""
        device = self.codebook.device
        if device not in self._places:
            layers = range(1, self.pyramid.depth + 1)
            # Tensors made in inference mode could not be used in training later.
            with torch.inference_mode(False):
                self._places[device] = tuple(torch.tensor(self.pyramid.positions(one), device=device) for one in layers)
        return self._places[device][layer - 1]

    def _add(self, total: Tensor, count: Tensor, at: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Sums and counts of words after one more layer."""
        words = self.codebook[ids].to(total.dtype)
        return total.index_add(1, at, words), count.index_add(0, at, torch.ones_like(count[at]))

    def _view(self, layer: int, table: WordTable) -> tuple[slice, WordTable]:
        """The channels that a layer compares with words, here all, and the search over them."""
        return slice(None), table

    def _table(self, dtype: torch.dtype) -> WordTable:
        """The search: built once for a frozen codebook, at each call for a learned one."""
        return self.table or WordTable(self._compared(self.codebook.detach()), dtype, self.max_bytes)

    def _compared(self, vectors: Tensor) -> Tensor:
        """Words or vectors as the search compares them."""
        return F.normalize(vectors, dim=1) if self.l2_normalize else vectors

    def _check_ids(self, layer: int, ids: Tensor, shape: tuple[int, int]) -> None:
        if ids.shape != shape or ids.dtype != torch.long:
            raise ShapeError(
                f"ids of layer {layer} must be a LongTensor {list(shape)}, got {ids.dtype} {list(ids.shape)}"
            )
        # A negative index would be read from the end of the codebook.
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < len(self.codebook):
            raise InputError(
                f"ids of layer {layer} run from 0 to {len(self.codebook) - 1}, got {int(ids.min())} to {int(ids.max())}"
            )
