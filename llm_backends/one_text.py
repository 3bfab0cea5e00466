"""A causal model asked one text at a time: slower, and right for every architecture.

For models with recurrent states, attention in chunks, or positions that padding would disturb. V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache


class OneText:
    """Passes over single texts, nothing filled up and nothing shared.

    Args:
        model: a causal language model in eval mode, on its device.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        accepted = inspect.signature(model.forward).parameters
        self._slices = "logits_to_keep" in accepted
        self._caches = "past_key_values" in accepted

    @torch.inference_mode()
    def logits(self, ids: Sequence[int], count: int) -> Tensor:
        """Logits [count, V], fp32, of the last positions of a text, by one pass without a cache."""
        options = {"logits_to_keep": count} if self._slices else {}
        found: Tensor = self.model(input_ids=self._row(ids), use_cache=False, **options).logits
        return found[0, -count:].float()

    def begin(self, ids: Sequence[int]) -> OneReply:
        """Reads a prompt, to be gone on from."""
        return OneReply(self, ids)

    @torch.inference_mode()
    def step(self, ids: Sequence[int], cache: DynamicCache) -> Tensor:
        """Reads tokens after those in the cache; returns the logits [V] of the next, fp32."""
        options = {"logits_to_keep": 1} if self._slices else {}
        found: Tensor = self.model(input_ids=self._row(ids), past_key_values=cache, use_cache=True, **options).logits
        return found[0, -1].float()

    def new_cache(self) -> DynamicCache | None:
        """Empty, as the architecture wants it; None where it takes none of this kind."""
        return DynamicCache(config=self.model.config) if self._caches else None

    def _row(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor([list(ids)], dtype=torch.long, device=self.model.device)


class OneReply:
    """A text that grows by one token at a time; where the model keeps no cache, it is read anew each time."""

    def __init__(self, model: OneText, ids: Sequence[int]) -> None:
        self._model = model
        self._ids = list(ids)
        self._cache = model.new_cache()
        self.logits = self._read(self._ids)
        """[V] of the next token, fp32."""

    def step(self, token: int) -> Tensor:
        """Reads a token. Returns the logits [V] of the next, fp32."""
        self._ids.append(token)
        self.logits = self._read([token])
        return self.logits

    def _read(self, new: Sequence[int]) -> Tensor:
        if self._cache is None:
            return self._model.logits(self._ids, 1)[0]
        return self._model.step(new, self._cache)


def log_chances(logits: Tensor, tokens: Sequence[int]) -> list[float]:
    """Log-probability in nats of each token under its row of logits [L, V]."""
    chosen = torch.tensor(list(tokens), dtype=torch.long, device=logits.device)
    values = logits.gather(1, chosen[:, None])[:, 0].double() - logits.logsumexp(-1).double()
    return [float(value) for value in values]
