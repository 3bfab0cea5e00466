"""Sampling of one reply: the next token from its logits, and when to stop."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from llm_backends.errors import CallFailed
from llm_backends.protocol import Choice, CompletionRequest

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Decodes(Protocol):
    """The part of a tokenizer that sampling needs."""

    def decode_after(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        """Text of `new` as it reads after `prompt`."""
        ...


class Sampler:
    """Grows one reply token by token.

    Args:
        request: stop strings, temperature, limit and seed.
        prompt: its token ids.
        tokenizer: of the model.
        ends: ids of the tokens that end a reply.
        sample: which of the request's `n` replies this is, from 0; each has its own seed.
    """

    def __init__(
        self, request: CompletionRequest, prompt: list[int], tokenizer: Decodes, ends: Collection[int], sample: int = 0
    ) -> None:
        self.prompt = prompt
        self.new: list[int] = []
        self.done = False
        self.error: CallFailed | None = None
        """Why sampling failed, if it did."""
        self._request = request
        self._tokenizer = tokenizer
        self._ends = ends
        self._text = ""
        self._finish: Literal["stop", "length"] = "length"
        self._sample = sample
        self._generator: Generator | None = None

    def take(self, logits: Tensor) -> None:
        """Chooses the next token from its logits [V]; sets `done` at a stop string, an end token or the last token.

        Logits without a finite maximum end the reply with an `error`.
        """
        if not math.isfinite(float(logits.max())):
            self.done = True
            self.error = CallFailed("logits must have a finite maximum, the model gave none: use float32")
            return
        token = self._choose(logits)
        if token in self._ends:
            self.done, self._finish = True, "stop"
            return
        self.new.append(token)
        self._text = self._tokenizer.decode_after(self.prompt, self.new)
        found = [at for at in (self._text.find(stop) for stop in self._request.stop) if at >= 0]
        if found:
            self._text = self._text[: min(found)]
            self.done, self._finish = True, "stop"
        elif len(self.new) == self._request.max_new_tokens:
            self.done = True

    def choice(self) -> Choice:
        """The reply so far: cut before the first stop string, without the end token, not stripped."""
        return Choice(text=self._text, finish=self._finish)

    def _choose(self, logits: Tensor) -> int:
        import torch

        if self._request.temperature == 0:
            return int(logits.argmax())
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(sample_seed(self._request.seed, self._sample))
        scaled = logits.double().cpu()
        probabilities = torch.softmax((scaled - scaled.max()) / self._request.temperature, dim=-1)
        # Inverse transform sampling: one number a token, so that rounding in the logits rarely changes the choice.
        uniform = torch.rand((), generator=self._generator, dtype=torch.float64)
        return min(int(torch.searchsorted(probabilities.cumsum(0), uniform)), len(probabilities) - 1)


def sample_seed(seed: int, sample: int) -> int:
    """A seed of 63 bits for one of several replies; the first uses the request's own."""
    if sample:
        return int.from_bytes(hashlib.sha256(f"{seed} {sample}".encode()).digest()[:8], "big") >> 1
    return seed % (1 << 63)
