"""A causal model run on one sequence at a time: slower, and correct for every architecture.

For models with recurrent states, chunked attention, or positions that padding would change. V vocabulary.
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
WITHOUT_CACHE = "no KV cache, every token reads its whole sequence again"


class SingleSequence:
    """Passes over single sequences, without padding or shared prefixes.

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
        """Whether cached decoding matches a full pass (checked on nine tokens)."""
        if self._cache_argument is None:
            warn_slow(self.model, WITHOUT_CACHE, "forward takes no cache")
            return False
        ids = [(7 * i + 3) % self.model.config.get_text_config().vocab_size for i in range(TRIAL_TOKENS)]
        try:
            cache = DynamicCache(config=self.model.config)
            self.step(ids[:-2], 0, cache)
            self.step(ids[-2:-1], TRIAL_TOKENS - 2, cache)
            last = self.step(ids[-1:], TRIAL_TOKENS - 1, cache)
        except TRIAL_ERRORS as error:
            warn_slow(self.model, WITHOUT_CACHE, f"{type(error).__name__}: {error}")
            return False
        if not same_logprobs(last, self.logits(ids, 1)[0], self.model.dtype):
            warn_slow(self.model, WITHOUT_CACHE, "cached logits differ from a full pass")
            return False
        return True

    @torch.inference_mode()
    def logits(self, ids: Sequence[int], count: int) -> Tensor:
        """Logits [count, V], fp32, of the last positions, by one pass without a cache."""
        options = {"logits_to_keep": count} if self._slices else {}
        found: Tensor = self.model(input_ids=self._row(ids), use_cache=False, **options).logits
        return found[0, -count:].float()

    @torch.inference_mode()
    def step(self, ids: Sequence[int], known: int, cache: DynamicCache) -> Tensor:
        """Reads tokens after the `known` ones in the cache; returns the logits [V] of the next, fp32."""
        options: dict[str, Tensor | int] = {"logits_to_keep": 1} if self._slices else {}
        if self._positions:
            options["position_ids"] = torch.arange(known, known + len(ids), device=self.model.device)[None]
        assert self._cache_argument is not None, "a cache is made only for a model that takes one"
        caches = {self._cache_argument: cache}
        found: Tensor = self.model(input_ids=self._row(ids), use_cache=True, **caches, **options).logits
        return found[0, -1].float()

    def new_cache(self) -> DynamicCache | None:
        """An empty cache of the architecture's kind; None if the model does not cache."""
        return DynamicCache(config=self.model.config) if self.caches else None

    def _row(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor([list(ids)], dtype=torch.long, device=self.model.device)


class SingleReply:
    """A sequence that grows by one token a step; without a cache, all of it is read at each step."""

    def __init__(self, model: SingleSequence, ids: Sequence[int]) -> None:
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


def same_logprobs(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Whether two rows of logits [V] give the same log-probabilities, up to the rounding of `dtype`."""
    apart = float((torch.log_softmax(found, -1) - torch.log_softmax(expected, -1)).abs().max())
    return apart < (1e-3 if dtype == torch.float32 else 0.25)


def token_logprobs(logits: Tensor, tokens: Sequence[int]) -> list[float]:
    """Log-probability in nats of each token under its row of logits [L, V]."""
    chosen = torch.tensor(list(tokens), dtype=torch.long, device=logits.device)
    values = logits.gather(1, chosen[:, None])[:, 0].double() - logits.logsumexp(-1).double()
    return [float(value) for value in values]
