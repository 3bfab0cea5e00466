"""Keys and values of tokens that a model has read: truncated, padded, stacked and passed back to it.

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
"""What a model raises for a cache, a mask or positions that its architecture does not take."""

_log = logging.getLogger("llm_backends")


CACHE_NAMES = ("cache", "past_key_values")
"""Of the argument of `model.forward` that takes a cache; transformers renamed it in 5.24."""
STATE_NAMES = (*CACHE_NAMES, "cache_params", "state")
"""The same, with the names of architectures whose cache is of a kind of their own (Mamba of older versions, RWKV)."""


def cache_argument(model: PreTrainedModel) -> str | None:
    """The name of the argument of `model.forward` that takes a cache; None if it takes none."""
    return _first_accepted(model, CACHE_NAMES)


def state_argument(model: PreTrainedModel) -> str | None:
    """The name of the argument that takes what the model returned under that name; None if it takes none."""
    return _first_accepted(model, STATE_NAMES)


def _first_accepted(model: PreTrainedModel, names: Sequence[str]) -> str | None:
    accepted = inspect.signature(model.forward).parameters
    return next((name for name in names if name in accepted), None)


def warn_slow(model: PreTrainedModel, what: str, reason: str) -> None:
    """Logs that a model takes a slow path, and why; called once per model."""
    _log.warning("%s: %s: %s", type(model).__name__, what, reason)


class _Filled(Protocol):
    """A plain cache layer after its first use."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class KVCache:
    """Keys and values of one row.

    Attributes:
        length: tokens; 0 with no pairs.
        pairs: per layer, keys and values [1, heads, length, size].
    """

    length: int = 0
    pairs: KeyValues | None = None

    def first(self, length: int) -> KVCache:
        """Of the first `length` tokens; a view."""
        if self.pairs is None or length == 0:
            return KVCache()
        return KVCache(length, [(k[:, :, :length], v[:, :, :length]) for k, v in self.pairs])

    def copied(self) -> KVCache:
        """A copy, which does not keep the memory of its batch alive."""
        return KVCache(self.length, None if self.pairs is None else [(k.clone(), v.clone()) for k, v in self.pairs])


def plain_attention(config: PreTrainedConfig) -> bool:
    """Whether a model's cache is keys and values per token, which can be truncated and stacked.

    True for sliding windows: given all tokens, the model masks those out of reach itself. False for recurrent states,
    and for chunked attention, where padding would shift the chunks.
    """
    text = config.get_text_config(decoder=True)
    if "chunked_attention" in (getattr(text, "layer_types", None) or ()):
        return False
    if getattr(text, "attention_chunk_size", None) is not None:
        return False
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in DynamicCache(config=config).layers)


def cache_of(pairs: KeyValues) -> DynamicCache:
    """A cache of these keys and values, shared and not copied: a cache never grows in place."""
    cache = DynamicCache()
    for keys, values in pairs:
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def pairs_of(cache: DynamicCache) -> KeyValues:
    """The keys and values in a cache."""
    return [(layer.keys, layer.values) for layer in cast(list[_Filled], cache.layers)]


def row_of(pairs: KeyValues, row: int, begin: int, end: int) -> KVCache:
    """Positions `begin` to `end` of one row."""
    one = slice(row, row + 1)
    return KVCache(end - begin, [(k[one, :, begin:end], v[one, :, begin:end]) for k, v in pairs])


def rows_of(pairs: KeyValues, rows: Tensor) -> KeyValues:
    """The chosen rows."""
    return [(k[rows], v[rows]) for k, v in pairs]


def stack(caches: Sequence[KVCache]) -> KeyValues:
    """Rows of different length as one batch, padded with zeros on the left; at least one is not empty."""
    width = max(cache.length for cache in caches)
    first = next(cache.pairs for cache in caches if cache.pairs is not None)
    if all(cache is caches[0] for cache in caches):
        return [(k.expand(len(caches), -1, -1, -1), v.expand(len(caches), -1, -1, -1)) for k, v in first]
    result: KeyValues = []
    for layer, (like_key, like_value) in enumerate(first):
        keys = like_key.new_zeros(len(caches), like_key.shape[1], width, like_key.shape[3])
        values = like_value.new_zeros(len(caches), like_value.shape[1], width, like_value.shape[3])
        for row, cache in enumerate(caches):
            if cache.pairs is not None:
                keys[row, :, width - cache.length :] = cache.pairs[layer][0][0]
                values[row, :, width - cache.length :] = cache.pairs[layer][1][0]
        result.append((keys, values))
    return result
