"""A causal model run on one sequence at a time: slower, and correct for every architecture.

For models with recurrent states, chunked attention, or positions that padding or the length of a text would change. V
vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from llm_backends.local.kv_cache import TRIAL_ERRORS, state_argument, warn_slow
from llm_backends.local.rope import LengthDependentRope

TRIAL_TOKENS = 9
WITHOUT_CACHE = "no cache, every token reads its whole sequence again"


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
        self._state_argument = state_argument(model)
        self._rope = LengthDependentRope(model)
        self._given = False
        """Whether the state begins as a cache given to the model, which some fill and do not return."""

    @cached_property
    def caches(self) -> bool:
        """Whether decoding from the model's own state matches a full pass.

        Checked on nine tokens: what changes with the length of a text is not left to this check, see `continues`.
        """
        if self._state_argument is None:
            warn_slow(self.model, WITHOUT_CACHE, "forward takes no cache")
            return False
        reasons = []
        for self._given in (False, True):
            reason = self._trial()
            if not reason:
                return True
            reasons.append(reason)
        warn_slow(self.model, WITHOUT_CACHE, " and ".join(dict.fromkeys(reasons)))
        return False

    def _trial(self) -> str:
        """What differs when nine tokens are read in three parts; "" for nothing."""
        ids = trial_ids(self.model, TRIAL_TOKENS)
        try:
            _, state = self.read(ids[:-2])
            _, state = self.read(ids[-2:-1], TRIAL_TOKENS - 2, state)
            last, _ = self.read(ids[-1:], TRIAL_TOKENS - 1, state)
        except TRIAL_ERRORS as error:
            return f"{type(error).__name__}: {error}"
        same = same_logprobs(last, self.logits(ids, 1)[0], self.model.dtype)
        return "" if same else "cached logits differ from a full pass"

    def continues(self, known: int, length: int) -> bool:
        """Whether a text of `length` tokens may be read on from the state of its first `known` ones."""
        return known > 0 and self._rope.same(known, length)

    @torch.inference_mode()
    def logits(self, ids: Sequence[int], count: int) -> Tensor:
        """Logits [count, V], fp32, of the last positions, by one pass without a cache."""
        self._rope.forget()
        options = {"logits_to_keep": count} if self._slices else {}
        found: Tensor = self.model(input_ids=self._row(ids), use_cache=False, **options).logits
        return found[0, -count:].float()

    @torch.inference_mode()
    def read(self, ids: Sequence[int], known: int = 0, state: object = None) -> tuple[Tensor, object]:
        """Reads tokens after the `known` ones whose state is given; one at a time if there are any.

        The state is what the model itself returned, of whatever kind it is; where it returns none, the one it filled.

        Returns the logits [V] of the next token, fp32, and the new state.
        """
        assert self._state_argument is not None, "only a model that takes a state is read on"
        options: dict[str, Any] = {"logits_to_keep": 1} if self._slices else {}
        if self._positions:
            options["position_ids"] = torch.arange(known, known + len(ids), device=self.model.device)[None]
        if state is None:
            self._rope.forget()
            state = DynamicCache(config=self.model.config) if self._given else None
        if state is not None:
            options[self._state_argument] = state
        found = self.model(input_ids=self._row(ids), use_cache=True, **options)
        return found.logits[0, -1].float(), state if self._given else getattr(found, self._state_argument)

    def _row(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor([list(ids)], dtype=torch.long, device=self.model.device)


class SingleReply:
    """A sequence that grows by one token a step; without a cache, all of it is read at each step."""

    def __init__(self, model: SingleSequence, ids: Sequence[int]) -> None:
        self._model = model
        self._ids = list(ids)
        self._known = 0
        self._state: object = None
        self.logits = self._read()
        """[V] of the next token, fp32."""

    def step(self, token: int) -> Tensor:
        """Reads a token. Returns the logits [V] of the next, fp32."""
        self._ids.append(token)
        self.logits = self._read()
        return self.logits

    def _read(self) -> Tensor:
        if not self._model.caches:
            return self._model.logits(self._ids, 1)[0]
        if not self._model.continues(self._known, len(self._ids)):
            self._known, self._state = 0, None
        logits, self._state = self._model.read(self._ids[self._known :], self._known, self._state)
        self._known = len(self._ids)
        return logits


def trial_ids(model: PreTrainedModel, count: int) -> list[int]:
    """Token ids to try a model with."""
    return [(7 * i + 3) % model.config.get_text_config().vocab_size for i in range(count)]


def same_logprobs(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Whether two rows of logits [V] give the same log-probabilities, up to the rounding of `dtype`."""
    apart = float((torch.log_softmax(found, -1) - torch.log_softmax(expected, -1)).abs().max())
    return apart < (1e-3 if dtype == torch.float32 else 0.25)


def token_logprobs(logits: Tensor, tokens: Sequence[int]) -> list[float]:
    """Log-probability in nats of each token under its row of logits [L, V]."""
    chosen = torch.tensor(list(tokens), dtype=torch.long, device=logits.device)
    values = logits.gather(1, chosen[:, None])[:, 0].double() - logits.logsumexp(-1).double()
    return [float(value) for value in values]
