"""Keys and values of tokens that a model has read: cut, padded, stacked, and given back to it.

B rows, L positions; per layer a pair of tensors [B, heads, L, size].
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

KeyValues = list[tuple[Tensor, Tensor]]

TRIAL_ERRORS = (TypeError, ValueError, RuntimeError, AttributeError, LookupError)
"""What a model raises at a cache, a mask or positions that its architecture does not take."""

_log = logging.getLogger("llm_backends")


def cache_argument(model: PreTrainedModel) -> str | None:
    """The name of the argument of `model.forward` that takes a cache; None where it takes none.

    transformers renamed it from `past_key_values` to `cache` in 5.24.
    """
    accepted = inspect.signature(model.forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in accepted), None)


def warn_slow(model: PreTrainedModel, what: str, reason: str) -> None:
    """Logs, for each model once, that it is run by a slower path, and why."""
    _log.warning("%s: %s: %s", type(model).__name__, what, reason)


class _Filled(Protocol):
    """What a plain cache layer holds once it was used."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class Read:
    """Tokens of one row that were read.

    Attributes:
        length: how many; 0 stands for none, with no pairs.
        pairs: their keys and values, one row.
    """

    length: int = 0
    pairs: KeyValues | None = None

    def cut(self, length: int) -> Read:
        """The first so many tokens."""
        if self.pairs is None or length == 0:
            return Read()
        return Read(length, [(k[:, :, :length], v[:, :, :length]) for k, v in self.pairs])

    def apart(self) -> Read:
        """A copy that keeps no batch alive."""
        return Read(self.length, None if self.pairs is None else [(k.clone(), v.clone()) for k, v in self.pairs])


def plain_attention(config: PreTrainedConfig) -> bool:
    """Whether a model's memory of a text is keys and values per token, which can be cut and stacked.

    Sliding windows are: the model masks what is out of reach by itself, where it is handed all. Recurrent states are
    not, nor attention in chunks, whose borders padding would move.
    """
    text = config.get_text_config(decoder=True)
    if "chunked_attention" in (getattr(text, "layer_types", None) or ()):
        return False
    if getattr(text, "attention_chunk_size", None) is not None:
        return False
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in DynamicCache(config=config).layers)


def cache_of(pairs: KeyValues) -> DynamicCache:
    """A cache holding these keys and values. They are shared, not copied: growing a cache never writes in place."""
    cache = DynamicCache()
    for keys, values in pairs:
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def pairs_of(cache: DynamicCache) -> KeyValues:
    """What a cache holds."""
    return [(layer.keys, layer.values) for layer in cast(list[_Filled], cache.layers)]


def row_of(pairs: KeyValues, row: int, begin: int, end: int) -> Read:
    """Positions `begin` to `end` of one row."""
    one = slice(row, row + 1)
    return Read(end - begin, [(k[one, :, begin:end], v[one, :, begin:end]) for k, v in pairs])


def rows_of(pairs: KeyValues, rows: Tensor) -> KeyValues:
    """The chosen rows."""
    return [(k[rows], v[rows]) for k, v in pairs]


def stack(reads: Sequence[Read]) -> KeyValues:
    """Rows of different length in one batch, filled up on the left with zeros; at least one is not empty."""
    width = max(read.length for read in reads)
    first = next(read.pairs for read in reads if read.pairs is not None)
    if all(read is reads[0] for read in reads):
        return [(k.expand(len(reads), -1, -1, -1), v.expand(len(reads), -1, -1, -1)) for k, v in first]
    result: KeyValues = []
    for layer, (like_key, like_value) in enumerate(first):
        keys = like_key.new_zeros(len(reads), like_key.shape[1], width, like_key.shape[3])
        values = like_value.new_zeros(len(reads), like_value.shape[1], width, like_value.shape[3])
        for row, read in enumerate(reads):
            if read.pairs is not None:
                keys[row, :, width - read.length :] = read.pairs[layer][0][0]
                values[row, :, width - read.length :] = read.pairs[layer][1][0]
        result.append((keys, values))
    return result
