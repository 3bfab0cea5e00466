"""Local causal language models through transformers: greedy and sampled completion, exact log-likelihoods.

Nothing is loaded before the first request: the identity follows from the source, and counting tokens reads only the
tokenizer. Arithmetic is fp32 by default, so that a reply does not depend on its batch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llm_backends.errors import BackendError, BackendUnavailable, CallFailed
from llm_backends.local.batching import (
    BatchSize,
    EncodedPrompt,
    EncodedQuestion,
    EncodedRequests,
    encode_requests,
    in_batches,
)
from llm_backends.local.loading import batch_cells, checked_device, free_memory, load_model
from llm_backends.local.sampler import Sampler
from llm_backends.protocol import (
    Capabilities,
    Choice,
    Completion,
    Identity,
    Likelihoods,
    Reply,
    Request,
    StreamingBackend,
    check_allowed,
)
from llm_backends.text_tokenizer import PlainTokenizer
from llm_backends.usage import Usage

if TYPE_CHECKING:
    from llm_backends.local.causal import CausalRunner

OUT_OF_MEMORY = "a batch ran out of memory and was split"


class ModelSource(Protocol):
    """Where a model comes from: its identity, and the folder with its config, tokenizer.json and safetensors."""

    @property
    def identity(self) -> Identity:
        """Known without loading weights."""
        ...

    @property
    def context_length(self) -> int | None:
        """In tokens; None if unknown."""
        ...

    def folder(self) -> Path:
        """Prepares the folder (download, conversion) and returns it. Raises BackendUnavailable."""
        ...

    def folder_if_ready(self) -> Path | None:
        """The folder if it needs no download or conversion, else None."""
        ...


Row = tuple[EncodedPrompt, int]
"""A prompt and which of its samples."""
Tail = tuple[EncodedQuestion, int]
"""A question and which of its continuations."""


class LocalBackend(StreamingBackend):
    """A frozen model on this machine.

    Args:
        source: of the model; its identity names the arithmetic.
        device: "auto" (the first CUDA device, else the processor), or as torch writes it: "cpu", "cuda:1".
        rows: most rows of a batch; None for as many as fit in memory.
    """

    def __init__(self, source: ModelSource, *, device: str = "auto", rows: int | None = None) -> None:
        self._source = source
        self._device = checked_device(device)
        self._rows = rows
        BatchSize(1, rows)  # fails now on a wrong number
        self._tokenizer: PlainTokenizer | None = None
        self._slow_paths: Counter[str] = Counter()

    @property
    def identity(self) -> Identity:
        """From the source; loads nothing. The device is not part of it: the arithmetic is the same."""
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

    @property
    def usage(self) -> Usage:
        """Requests that took a slow path; a local model counts nothing else."""
        return Usage(slow_paths=dict(sorted(self._slow_paths.items())))

    def count_tokens(self, text: str) -> int:
        """Tokens of a prompt, leading special tokens included; loads the tokenizer, not the weights."""
        return len(self.text_tokenizer.encode(text))

    def count_tokens_if_ready(self, text: str) -> int | None:
        """As `count_tokens`, or None if the tokenizer would first have to be downloaded or converted."""
        if self._tokenizer is None and self._source.folder_if_ready() is None:
            return None
        return self.count_tokens(text)

    @property
    def text_tokenizer(self) -> PlainTokenizer:
        """The model's own text tokenizer; read on first use, without the weights."""
        if self._tokenizer is None:
            self._tokenizer = PlainTokenizer.read(self._source.folder())
        return self._tokenizer

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        """(index, reply or error), batch by batch; prompts that are too long come first, before weights are loaded.

        Log-likelihoods are sums in nats, split as `PlainTokenizer.split` says. The error of a request is PromptTooLong,
        or CallFailed if the model's numbers are not finite or the request does not fit in memory alone.

        Requests are sorted so that a shared prefix is computed once. Each samples by its own seed, so a reply does
        not depend on its batch.

        Raises:
            BackendInputError: an empty prompt, stop string or continuation, a token id the model does not have, or
                a request beyond its capabilities.
            BackendUnavailable: the model cannot be loaded.
        """
        if not requests:
            return
        capabilities, identity = self.capabilities, self.identity
        for request in requests:
            check_allowed(capabilities, identity, request)
        encoded = encode_requests(requests, self.text_tokenizer, identity.model, capabilities.context_length)
        yield from encoded.too_long
        if not encoded.prompts and not encoded.questions:
            return
        self._check_ids(encoded)
        size = self._size
        split: set[int] = set()

        def on_out_of_memory(batch: Sequence[Row] | Sequence[Tail]) -> None:
            indices = {item[0].index for item in batch} - split
            self._slow_paths[OUT_OF_MEMORY] += len(indices)
            split.update(indices)
            free_memory(self._runner.model.device)

        for reason in self._runner.slow_paths(decoding=True) if encoded.prompts else ():
            self._slow_paths[reason] += len(encoded.prompts)
        choices: list[Choice | CallFailed] = []
        rows = [(prompt, sample) for prompt in encoded.prompts for sample in range(prompt.request.n)]
        for (prompt, sample), choice in in_batches(rows, _row_cells, size, self._decode, on_out_of_memory):
            choices.append(choice)
            if sample + 1 == prompt.request.n:
                yield prompt.index, _completion(choices)
                choices = []
        for reason in self._runner.slow_paths(decoding=False) if encoded.questions else ():
            self._slow_paths[reason] += len(encoded.questions)
        sums: list[float | CallFailed] = []
        tails = [(question, tail) for question in encoded.questions for tail in range(len(question.split.tails))]
        for (question, tail), value in in_batches(tails, _tail_cells, size, self._score, on_out_of_memory):
            sums.append(value)
            if tail + 1 == len(question.split.tails):
                yield question.index, self._likelihoods(sums)
                sums = []

    def load(self) -> None:
        """Loads the text tokenizer and the weights now. Raises BackendUnavailable, as the first request would."""
        _ = self.text_tokenizer, self._runner

    def _check_ids(self, encoded: EncodedRequests) -> None:
        """Raises BackendUnavailable for a token that the model has no embedding of."""
        embeddings: Any = self._runner.model.get_input_embeddings()
        size = len(embeddings.weight)
        texts = [prompt.ids for prompt in encoded.prompts]
        texts += [ids for question in encoded.questions for ids in (question.split.context, *question.split.tails)]
        highest = max(max(ids) for ids in texts)
        if highest >= size:
            raise BackendUnavailable(
                f"a model needs its own text tokenizer, tokenizer.json gave token {highest} and {self.identity.model} "
                f"has {size}: put the model's own tokenizer.json into its folder"
            )

    def _decode(self, rows: Sequence[Row]) -> list[Choice | CallFailed]:
        """One reply per row; rows of one prompt are adjacent, and it is read once for all of them."""
        prompts = list({id(prompt): prompt for prompt, _ in rows}.values())
        copies = [sum(one is prompt for one, _ in rows) for prompt in prompts]
        samplers = [
            Sampler(one.request, one.ids, self.text_tokenizer, self._end_tokens, sample) for one, sample in rows
        ]
        batch = self._runner.decode([prompt.ids for prompt in prompts], copies)
        active = list(samplers)
        while True:
            for sampler, logits in zip(active, batch.logits, strict=True):
                sampler.take(logits)
            unfinished = [i for i, sampler in enumerate(active) if not sampler.done]
            if not unfinished:
                return [sampler.error or sampler.choice() for sampler in samplers]
            if len(unfinished) < len(active):
                batch.keep(unfinished)
                active = [active[i] for i in unfinished]
            batch.step([sampler.new[-1] for sampler in active])

    def _score(self, rows: Sequence[Tail]) -> list[float]:
        """One sum per row; rows of one question are adjacent, and its context is read once for all of them."""
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
        """From the memory that is free once the model is loaded."""
        batches, cell_bytes = self._runner.batches, self._runner.cell_bytes
        return BatchSize(batch_cells(self._runner.model.device, cell_bytes) if batches else 1, self._rows)

    @cached_property
    def _runner(self) -> CausalRunner:
        """Loads the weights."""
        from llm_backends.local.causal import CausalRunner

        return CausalRunner(load_model(self._source.folder(), self.identity.dtype, self._device))

    @cached_property
    def _end_tokens(self) -> frozenset[int]:
        """Tokens that end a reply: those of the model's generation config."""
        model = self._runner.model
        ends: set[int] = set()
        for config in (model.generation_config, model.config):
            value = getattr(config, "eos_token_id", None)
            ends |= {value} if isinstance(value, int) else set(value or ())
        return frozenset(ends)


def _row_cells(row: Row) -> int:
    return len(row[0].ids) + row[0].request.max_new_tokens


def _tail_cells(row: Tail) -> int:
    split = row[0].split
    return len(split.context) + len(split.tails[row[1]])


def _completion(choices: Sequence[Choice | CallFailed]) -> Completion | CallFailed:
    """The reply of all samples, or the first sample's error."""
    error = next((one for one in choices if isinstance(one, CallFailed)), None)
    return error or Completion(choices=tuple(one for one in choices if isinstance(one, Choice)))
