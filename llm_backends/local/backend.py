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

from llm_backends.capabilities import check_allowed
from llm_backends.errors import BackendError, CallFailed
from llm_backends.local.batching import BatchSize, in_batches
from llm_backends.local.loading import batch_cells, checked_device, free_memory, load_model
from llm_backends.local.prepared import Prompt, Question, collected, prepare
from llm_backends.local.sampler import ReplyRow
from llm_backends.local.text_tokenizer import PlainTokenizer
from llm_backends.protocol import (
    Capabilities,
    Choice,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
    Reply,
    Request,
)

if TYPE_CHECKING:
    from llm_backends.local.causal import CausalRunner


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


Row = tuple[Prompt, int]
"""One of the replies to a prompt: which of its samples."""
Tail = tuple[Question, int]
"""One of the continuations of a question."""


class LocalBackend:
    """A frozen model on this machine.

    Args:
        source: of the model; its identity names the arithmetic.
        device: "auto" (the first CUDA device, else the processor), or as torch writes it: "cpu", "cuda:1".
        rows: the most replies or continuations worked on together; None leaves it to the memory there is.
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
        if not requests:
            return
        capabilities, identity = self.capabilities, self.identity
        for request in requests:
            check_allowed(capabilities, identity, request)
        ready = prepare(requests, self.text, identity.model, capabilities.context_length)
        yield from ready.too_long
        if not ready.prompts and not ready.questions:
            return
        size, free = self._size, lambda: free_memory(self._runner.model.device)
        choices: list[Choice | CallFailed] = []
        rows = [(prompt, sample) for prompt in ready.prompts for sample in range(prompt.request.n)]
        for (prompt, sample), choice in in_batches(rows, _cells_of_row, size, self._decode, free):
            choices.append(choice)
            if sample + 1 == prompt.request.n:
                yield prompt.index, _completion(choices)
                choices = []
        sums: list[float | CallFailed] = []
        tails = [(question, tail) for question in ready.questions for tail in range(len(question.split.tails))]
        for (question, tail), value in in_batches(tails, _cells_of_tail, size, self._score, free):
            sums.append(value)
            if tail + 1 == len(question.split.tails):
                yield question.index, self._likelihoods(sums)
                sums = []

    def _decode(self, rows: Sequence[Row]) -> list[Choice | CallFailed]:
        """One reply per row; rows of one prompt follow one another, and it is read once for all of them."""
        prompts = list({id(prompt): prompt for prompt, _ in rows}.values())
        copies = [sum(one is prompt for one, _ in rows) for prompt in prompts]
        replies = [ReplyRow(one.request, one.ids, self.text, self._ends, sample) for one, sample in rows]
        batch = self._runner.decode([prompt.ids for prompt in prompts], copies)
        active = list(replies)
        while True:
            for row, logits in zip(active, batch.logits, strict=True):
                row.take(logits)
            going = [i for i, row in enumerate(active) if not row.done]
            if not going:
                return [row.error or row.choice() for row in replies]
            if len(going) < len(active):
                batch.keep(going)
                active = [active[i] for i in going]
            batch.step([row.new[-1] for row in active])

    def _score(self, rows: Sequence[Tail]) -> list[float]:
        """One sum per row; rows of one question follow one another, and its context is read once for all of them."""
        questions: dict[int, tuple[list[int], list[list[int]]]] = {}
        for question, tail in rows:
            split = question.split
            questions.setdefault(question.index, (split.context, []))[1].append(split.tails[tail])
        return [value for values in self._runner.score(list(questions.values())) for value in values]

    def _likelihoods(self, sums: Sequence[float | CallFailed]) -> Likelihoods | CallFailed:
        error = next((one for one in sums if isinstance(one, CallFailed)), None)
        values = tuple(one for one in sums if not isinstance(one, CallFailed))
        if error is None and not all(map(math.isfinite, values)):
            error = CallFailed(f"log-likelihoods must be finite, {self.identity.model} gave {values}: use float32")
        return error or Likelihoods(values=values)

    @cached_property
    def _size(self) -> BatchSize:
        """Set by the memory there is once the model is in it."""
        together, cell_bytes = self._runner.together, self._runner.cell_bytes
        return BatchSize(batch_cells(self._runner.model.device, cell_bytes) if together else 1, self._rows)

    @cached_property
    def _runner(self) -> CausalRunner:
        """Loads the weights."""
        from llm_backends.local.causal import CausalRunner

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


def _cells_of_row(row: Row) -> int:
    return len(row[0].ids) + row[0].request.max_new_tokens


def _cells_of_tail(row: Tail) -> int:
    split = row[0].split
    return len(split.context) + len(split.tails[row[1]])


def _completion(choices: Sequence[Choice | CallFailed]) -> Completion | CallFailed:
    """The reply of all samples, or why one of them has none."""
    error = next((one for one in choices if isinstance(one, CallFailed)), None)
    return error or Completion(choices=tuple(one for one in choices if isinstance(one, Choice)))
