"""Runs a causal transformer: prefill that keeps shared prefixes, exact continuation scores, batched decoding steps.

B rows, L positions, V vocabulary. Logits are only ever computed for the positions that are read.

Prompts that follow one another often begin alike (an episode shown with one, three and five shots), so the keys and
values of the last prompt are kept and the next one runs only from where it differs. This needs plain attention caches;
models with sliding windows or recurrent states are detected and run without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from llm_backends.plain_text import common_prefix


class _Filled(Protocol):
    """What a plain cache layer holds once it was used: [B, heads, L, size] each."""

    keys: Tensor
    values: Tensor


KeyValues = list[tuple[Tensor, Tensor]]
ROWS_AT_ONCE = 32
"""Continuations scored in one pass: bounds the copies of the context's keys and values."""


@dataclass(frozen=True)
class Prefilled:
    """A prompt that has been read."""

    logits: Tensor
    """[V] of the next token, fp32."""
    cache: DynamicCache
    length: int
    """Tokens read."""


class CausalRunner:
    """One model on one device, with the keys and values of the prompt it read last.

    Args:
        model: a causal language model in eval mode, on its device.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self._plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
        self._ids: list[int] = []
        self._kept: KeyValues = []
        self.tokens_run = 0
        """Prompt tokens that went through the model so far; less than was asked where prefixes were shared."""

    @property
    def plain(self) -> bool:
        """Whether caches can be cut, copied and stacked."""
        return self._plain

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int]) -> Prefilled:
        """Reads a prompt of at least one token."""
        if not self._plain:
            cache, known = DynamicCache(config=self.model.config), 0
        else:
            # At least the last token runs again: its logits are what is asked for.
            known = min(common_prefix(self._ids, ids), len(ids) - 1)
            cache = _cache_of([(k[:, :, :known], v[:, :, :known]) for k, v in self._kept]) if known else DynamicCache()
        rest = self._tensor([list(ids[known:])])
        logits = self.model(input_ids=rest, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]
        self.tokens_run += len(ids) - known
        if self._plain:
            self._ids, self._kept = list(ids), _pairs(cache)
        return Prefilled(logits.float(), cache, len(ids))

    @torch.inference_mode()
    def score(self, context: Sequence[int], tails: Sequence[Sequence[int]]) -> list[float]:
        """Sum of log-probabilities, in nats, of each tail's tokens after the context."""
        if not self._plain:
            return [self._score_whole(context, tail) for tail in tails]
        start = self.prefill(context)
        first = torch.log_softmax(start.logits, dim=-1)
        kept = self._kept
        sums: list[float] = []
        for begin in range(0, len(tails), ROWS_AT_ONCE):
            rows = tails[begin : begin + ROWS_AT_ONCE]
            sums += [
                float(first[row[0]].double()) + rest
                for row, rest in zip(rows, self._score_after_first(kept, rows), strict=True)
            ]
        return sums

    def _score_after_first(self, kept: KeyValues, rows: Sequence[Sequence[int]]) -> list[float]:
        """Per row, the log-probabilities of its second and later tokens, summed; 0 for rows of one token."""
        width = max(len(row) for row in rows) - 1
        if width == 0:
            return [0.0] * len(rows)
        # Filled up on the right with a repeated token: causal attention keeps it from being seen by what counts.
        inputs = self._tensor([[*row[:-1], *[row[-1]] * (width - len(row) + 1)] for row in rows])
        cache = _cache_of([(k.expand(len(rows), -1, -1, -1), v.expand(len(rows), -1, -1, -1)) for k, v in kept])
        logits = self.model(input_ids=inputs, past_key_values=cache, use_cache=True).logits
        return [_gathered(logits[i, : len(row) - 1], row[1:]) for i, row in enumerate(rows)]

    def _score_whole(self, context: Sequence[int], tail: Sequence[int]) -> float:
        """The same sum by one pass over context and tail, for caches that cannot be copied."""
        inputs = self._tensor([[*context, *tail[:-1]]])
        self.tokens_run += len(context)
        logits = self.model(input_ids=inputs, use_cache=False, logits_to_keep=len(tail)).logits
        return _gathered(logits[0], tail)

    def _tensor(self, rows: list[list[int]]) -> Tensor:
        return torch.tensor(rows, dtype=torch.long, device=self.model.device)

    def batch(self, starts: Sequence[Prefilled]) -> DecodeBatch:
        """Prompts to be continued together; more than one only where `plain`."""
        return DecodeBatch(self.model, starts)


class DecodeBatch:
    """Prompts of different lengths, continued one token at a time; shorter ones are padded on the left."""

    def __init__(self, model: PreTrainedModel, starts: Sequence[Prefilled]) -> None:
        self._model = model
        self._lengths = torch.tensor([start.length for start in starts], device=model.device)
        if len(starts) == 1:
            self._cache = starts[0].cache
            self._mask = torch.ones(1, starts[0].length, dtype=torch.long, device=model.device)
            return
        width = int(self._lengths.max())
        columns = torch.arange(width, device=model.device)
        self._mask = (columns >= width - self._lengths[:, None]).long()
        layers = zip(*(_pairs(start.cache) for start in starts), strict=True)
        self._cache = _cache_of(
            [
                (torch.cat([_left(k, width) for k, _ in layer]), torch.cat([_left(v, width) for _, v in layer]))
                for layer in layers
            ]
        )

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Tensor:
        """Reads one token per row. Returns the logits [B, V] of the next, fp32."""
        inputs = torch.tensor(tokens, dtype=torch.long, device=self._mask.device)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(inputs)], dim=1)
        logits = self._model(
            input_ids=inputs,
            attention_mask=self._mask,
            position_ids=self._lengths[:, None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        self._lengths = self._lengths + 1
        result: Tensor = logits[:, -1].float()
        return result

    def keep(self, rows: Sequence[int]) -> None:
        """Drops every row not named, once its reply is finished."""
        chosen = torch.tensor(rows, dtype=torch.long, device=self._mask.device)
        self._mask, self._lengths = self._mask[chosen], self._lengths[chosen]
        self._cache = _cache_of([(k[chosen], v[chosen]) for k, v in _pairs(self._cache)])


def _cache_of(pairs: KeyValues) -> DynamicCache:
    """A cache holding these keys and values. They are shared, not copied: growing a cache never writes in place."""
    cache = DynamicCache()
    for keys, values in pairs:
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def _pairs(cache: DynamicCache) -> KeyValues:
    return [(layer.keys, layer.values) for layer in cast(list[_Filled], cache.layers)]


def _left(tensor: Tensor, width: int) -> Tensor:
    """[1, heads, L, size] with zeros in front, up to `width` positions."""
    return torch.nn.functional.pad(tensor, (0, 0, width - tensor.shape[2], 0))


def _gathered(logits: Tensor, tokens: Sequence[int]) -> float:
    """Sum of the log-probabilities of tokens [L] under logits [L, V]; summed in fp64."""
    chosen = torch.tensor(tokens, dtype=torch.long, device=logits.device)
    return float(torch.log_softmax(logits.float(), dim=-1).gather(1, chosen[:, None]).double().sum())
