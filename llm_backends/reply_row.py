"""One reply while it grows: choosing the next token, and knowing when to stop."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from llm_backends.errors import CallFailed
from llm_backends.plain_text import PlainTokenizer
from llm_backends.protocol import Choice, Completion, CompletionRequest

if TYPE_CHECKING:
    from torch import Generator, Tensor


class ReplyRow:
    """A prompt's reply, token by token.

    Args:
        request: what was asked.
        prompt: its token ids.
        text: the model's tokenizer.
        ends: ids of the tokens that end a text.
    """

    def __init__(
        self, request: CompletionRequest, prompt: list[int], text: PlainTokenizer, ends: Collection[int]
    ) -> None:
        self.prompt = prompt
        self.new: list[int] = []
        self.done = False
        self._request = request
        self._tokenizer = text
        self._ends = ends
        self._text = ""
        self._finish: Literal["stop", "length"] = "length"
        self._generator: Generator | None = None

    def take(self, logits: Tensor) -> None:
        """Chooses the next token from its logits [V]; sets `done` at a stop string, an end token or the last token.

        Raises:
            CallFailed: the logits hold no finite maximum.
        """
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

    def completion(self) -> Completion:
        """The reply so far: cut before the first stop string, without the end token, not stripped."""
        return Completion(choices=(Choice(text=self._text, finish=self._finish),))

    def _choose(self, logits: Tensor) -> int:
        import torch

        if not bool(torch.isfinite(logits.max())):
            raise CallFailed("logits must have a finite maximum, the model gave none: use float32")
        if self._request.temperature == 0:
            return int(logits.argmax())
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self._request.seed)
        chances = torch.softmax(logits.double().cpu() / self._request.temperature, dim=-1)
        # By inverse transform: one draw a token, so that rounding in the logits rarely changes the choice.
        draw = torch.rand((), generator=self._generator, dtype=torch.float64)
        return min(int(torch.searchsorted(chances.cumsum(0), draw)), len(chances) - 1)
