"""A causal model asked one text at a time: slower, and right for every architecture.

For models with recurrent states, attention in chunks, or positions that padding would disturb. V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from llm_backends.local.kv_cache import TRIAL_ERRORS, cache_argument, warn_slow

TRIAL_TOKENS = 9


class OneText:
    """Passes over single texts, nothing filled up and nothing shared.

    Args:
        model: a causal language model in eval mode, on its device.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        accepted = inspect.signature(model.forward).parameters
        self._slices = "logits_to_keep" in accepted
        self._positions = "position_ids" in accepted
        self._cache_argument = cache_argument(model)

    @cached_property
    def caches(self) -> bool:
        """Whether a text can be gone on from token by token, found out by trying it on a few."""
        if self._cache_argument is None:
            warn_slow(self.model, "every token reads its whole text again", "forward takes no cache")
            return False
        ids = [(7 * i + 3) % self.model.config.get_text_config().vocab_size for i in range(TRIAL_TOKENS)]
        try:
            cache = DynamicCache(config=self.model.config)
            self.step(ids[:-2], 0, cache)
            self.step(ids[-2:-1], TRIAL_TOKENS - 2, cache)
            last = self.step(ids[-1:], TRIAL_TOKENS - 1, cache)
        except TRIAL_ERRORS as error:
            warn_slow(self.model, "every token reads its whole text again", f"{type(error).__name__}: {error}")
            return False
        if not same_chances(last, self.logits(ids, 1)[0], self.model.dtype):
            warn_slow(self.model, "every token reads its whole text again", "cached logits differ from a full pass")
            return False
        return True

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
    def step(self, ids: Sequence[int], known: int, cache: DynamicCache) -> Tensor:
        """Reads tokens after the `known` ones in the cache; returns the logits [V] of the next, fp32."""
        options: dict[str, Tensor | int] = {"logits_to_keep": 1} if self._slices else {}
        if self._positions:
            options["position_ids"] = torch.arange(known, known + len(ids), device=self.model.device)[None]
        assert self._cache_argument is not None, "a cache is made only for a model that takes one"
        known_text = {self._cache_argument: cache}
        found: Tensor = self.model(input_ids=self._row(ids), use_cache=True, **known_text, **options).logits
        return found[0, -1].float()

    def new_cache(self) -> DynamicCache | None:
        """Empty, as the architecture wants it; None where texts are read anew for each token."""
        return DynamicCache(config=self.model.config) if self.caches else None

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
        return self._model.step(new, len(self._ids) - len(new), self._cache)


def same_chances(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Whether two rows of logits [V] mean the same, up to the rounding of an arithmetic."""
    apart = float((torch.log_softmax(found, -1) - torch.log_softmax(expected, -1)).abs().max())
    return apart < (1e-3 if dtype == torch.float32 else 0.25)


def log_chances(logits: Tensor, tokens: Sequence[int]) -> list[float]:
    """Log-probability in nats of each token under its row of logits [L, V]."""
    chosen = torch.tensor(list(tokens), dtype=torch.long, device=logits.device)
    values = logits.gather(1, chosen[:, None])[:, 0].double() - logits.logsumexp(-1).double()
    return [float(value) for value in values]
