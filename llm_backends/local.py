"""Local causal language models through transformers: greedy and sampled completion, exact log-likelihoods.

Nothing is loaded before the first question: the identity is known from the source, and counting tokens reads only the
tokenizer. Arithmetic is fp32 unless asked otherwise, so that a reply does not depend on what was asked beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llm_backends.batching import BatchSize, in_batches
from llm_backends.capabilities import check_allowed
from llm_backends.errors import BackendError, CallFailed
from llm_backends.loading import batch_cells, checked_device, free_memory, load_model
from llm_backends.plain_text import PlainTokenizer
from llm_backends.prepared import Prompt, Question, collected, prepare
from llm_backends.protocol import (
    Capabilities,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
    Reply,
    Request,
)
from llm_backends.reply_row import ReplyRow

if TYPE_CHECKING:
    from llm_backends.causal import CausalRunner


class ModelSource(Protocol):
    """Where a model comes from: who it is, and the folder with its config, tokenizer.json and safetensors."""

    @property
    def identity(self) -> Identity:
        """Known without loading weights."""
        ...

    @property
    def context_length(self) -> int | None:
        """In tokens; None where the model states none."""
        ...

    def folder(self) -> Path:
        """Makes the folder ready (download, conversion) and returns it. Raises BackendUnavailable."""
        ...

    def folder_if_ready(self) -> Path | None:
        """The folder where nothing has to be fetched or converted first, else None."""
        ...


class LocalBackend:
    """A frozen model on this machine.

    Args:
        source: of the model; its identity names the arithmetic.
        device: "auto" (the first CUDA device, else the processor), or as torch writes it: "cpu", "cuda:1".
        rows: the most questions answered together; None leaves it to the memory there is.
    """

    def __init__(self, source: ModelSource, *, device: str = "auto", rows: int | None = None) -> None:
        self._source = source
        self._device = checked_device(device)
        self._rows = rows
        BatchSize(1, rows)  # a wrong number is told now
        self._tokenizer: PlainTokenizer | None = None

    @property
    def identity(self) -> Identity:
        """From the source; loads nothing. The device is no part of it: it does not change the arithmetic asked for."""
        return self._source.identity

    @property
    def capabilities(self) -> Capabilities:
        """Of a causal model; loads nothing."""
        return Capabilities(
            likelihood=True,
            samples=None,
            token_prompts=True,
            tokenizer=True,
            context_length=self._source.context_length,
        )

    def count_tokens(self, text: str) -> int:
        """Tokens of a prompt, leading marks included; loads the tokenizer, not the weights."""
        return len(self.text.encode(text))

    def count_tokens_if_ready(self, text: str) -> int | None:
        """The same, or None where the tokenizer would first have to be fetched or converted."""
        if self._tokenizer is None and self._source.folder_if_ready() is None:
            return None
        return self.count_tokens(text)

    @property
    def text(self) -> PlainTokenizer:
        """The model's own tokenizer; read at the first use, without the weights."""
        if self._tokenizer is None:
            self._tokenizer = PlainTokenizer.read(self._source.folder())
        return self._tokenizer

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """One reply per request, in order, as `stream` gives them.

        Raises:
            PromptTooLong: prompt and reply would not fit; raised before anything is computed.
            BackendInputError, BackendUnavailable: as `stream`.
            CallFailed: the model's numbers are not finite, or a question does not fit in memory alone.
        """
        replies = collected(self.stream(requests), len(requests))
        return [reply for reply in replies if isinstance(reply, Completion)]

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        """One reply per request, in order: sums of log-probabilities in nats; see `PlainTokenizer.split` for the cut.

        Raises:
            PromptTooLong: context and a continuation would not fit; raised before anything is computed.
            BackendInputError, BackendUnavailable: as `stream`.
            CallFailed: the model's numbers are not finite, or a question does not fit in memory alone.
        """
        replies = collected(self.stream(requests), len(requests))
        return [reply for reply in replies if isinstance(reply, Likelihoods)]

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        """(index, reply or error), batch by batch; prompts that are too long come first, before weights are loaded.

        Neighbours in a batch begin alike where they can, and what they share is read once. Sampling draws from the
        request's own seed, so a reply does not depend on its neighbours.

        Raises:
            BackendInputError: an empty prompt, stop string or continuation, a token id the model does not have, or
                something that its capabilities exclude.
            BackendUnavailable: the model cannot be loaded.
        """
        for request in requests:
            check_allowed(self.capabilities, self.identity, request)
        if not requests:
            return
        ready = prepare(requests, self.text, self.identity.model, self._source.context_length)
        yield from ready.too_long
        if not ready.prompts and not ready.questions:
            return
        size, free = self._size, lambda: free_memory(self._runner.model.device)
        for prompt, choices in in_batches(ready.prompts, _cells_of_prompt, size, self._decode, free):
            yield prompt.index, choices
        for question, values in in_batches(ready.questions, _cells_of_question, size, self._score, free):
            yield question.index, values

    def _decode(self, prompts: Sequence[Prompt]) -> list[Completion | CallFailed]:
        """Replies to a batch. Where texts are asked one at a time, so are the samples of one prompt."""
        if not self._runner.together and prompts[0].request.n > 1:
            return [self._one_after_another(prompt) for prompt in prompts]
        rows = [
            [ReplyRow(one.request, one.ids, self.text, self._ends, sample) for sample in range(one.request.n)]
            for one in prompts
        ]
        self._grow(rows)
        return [_completion(row) for row in rows]

    def _one_after_another(self, prompt: Prompt) -> Completion | CallFailed:
        rows = [
            ReplyRow(prompt.request, prompt.ids, self.text, self._ends, sample) for sample in range(prompt.request.n)
        ]
        for row in rows:
            self._grow([[row]])
        return _completion(rows)

    def _grow(self, rows: list[list[ReplyRow]]) -> None:
        """Replies to prompts (each with the rows of its samples) until all are done."""
        batch = self._runner.decode([group[0].prompt for group in rows], [len(group) for group in rows])
        active = [row for group in rows for row in group]
        while True:
            for row, logits in zip(active, batch.logits, strict=True):
                row.take(logits)
            going = [i for i, row in enumerate(active) if not row.done]
            if not going:
                return
            if len(going) < len(active):
                batch.keep(going)
                active = [active[i] for i in going]
            batch.step([row.new[-1] for row in active])

    def _score(self, questions: Sequence[Question]) -> list[Likelihoods | CallFailed]:
        found = self._runner.score([(one.split.context, one.split.tails) for one in questions])
        return [
            Likelihoods(values=tuple(values))
            if all(math.isfinite(value) for value in values)
            else CallFailed(f"log-likelihoods must be finite, {self.identity.model} gave {values}: use float32")
            for values in found
        ]

    @cached_property
    def _size(self) -> BatchSize:
        """Set by the memory there is once the model is in it."""
        together, cell_bytes = self._runner.together, self._runner.cell_bytes
        return BatchSize(batch_cells(self._runner.model.device, cell_bytes) if together else 1, self._rows)

    @cached_property
    def _runner(self) -> CausalRunner:
        """Loads the weights."""
        from llm_backends.causal import CausalRunner

        return CausalRunner(load_model(self._source.folder(), self.identity.dtype, self._device))

    @cached_property
    def _ends(self) -> frozenset[int]:
        """Tokens that end a reply: those the model's own generation settings name."""
        model = self._runner.model
        ends: set[int] = set()
        for config in (model.generation_config, model.config):
            value = getattr(config, "eos_token_id", None)
            ends |= {value} if isinstance(value, int) else set(value or ())
        return frozenset(ends)


def _cells_of_prompt(prompt: Prompt) -> int:
    return (len(prompt.ids) + prompt.request.max_new_tokens) * prompt.request.n


def _cells_of_question(question: Question) -> int:
    context = len(question.split.context)
    return context + sum(context + len(tail) for tail in question.split.tails)


def _completion(rows: Sequence[ReplyRow]) -> Completion | CallFailed:
    error = next((row.error for row in rows if row.error is not None), None)
    return error or Completion(choices=tuple(row.choice() for row in rows))
