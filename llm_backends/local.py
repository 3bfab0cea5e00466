"""Local causal language models through transformers: greedy and sampled completion, exact log-likelihoods.

Nothing is loaded before the first question: the identity is known from the source, and counting tokens reads only the
tokenizer. Arithmetic is fp32 unless asked otherwise, so that a reply does not depend on what was asked beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llm_backends.capabilities import check_allowed, text_of
from llm_backends.errors import BackendInputError, BackendUnavailable, CallFailed, PromptTooLong
from llm_backends.plain_text import PlainTokenizer
from llm_backends.protocol import (
    Capabilities,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
)
from llm_backends.reply_row import ReplyRow

if TYPE_CHECKING:
    from llm_backends.causal import CausalRunner

DTYPES = ("float32", "bfloat16", "float16")


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


def checked_dtype(dtype: str) -> str:
    """The same name, or BackendInputError where this program has no such arithmetic."""
    if dtype not in DTYPES:
        raise BackendInputError(f"dtype is one of {', '.join(DTYPES)}, got {dtype!r}")
    return dtype


class LocalBackend:
    """A frozen model on this machine.

    Args:
        source: of the model; its identity names the arithmetic.
        device: as torch writes it: "cpu", "cuda".
        rows: how many replies are decoded together.
    """

    def __init__(self, source: ModelSource, *, device: str = "cpu", rows: int = 8) -> None:
        if rows < 1:
            raise BackendInputError(f"rows decoded together must be at least 1, got {rows}")
        self._source = source
        self._device = device
        self._rows = rows
        self._tokenizer: PlainTokenizer | None = None

    @property
    def identity(self) -> Identity:
        """From the source; loads nothing."""
        return self._source.identity

    @property
    def capabilities(self) -> Capabilities:
        """Of a causal model; loads nothing."""
        return Capabilities(
            likelihood=True,
            samples=1,
            token_prompts=False,
            tokenizer=True,
            context_length=self._source.context_length,
        )

    def count_tokens(self, text: str) -> int:
        """Tokens of a prompt, leading marks included; loads the tokenizer, not the weights."""
        return len(self._text.encode(text))

    def count_tokens_if_ready(self, text: str) -> int | None:
        """The same, or None where the tokenizer would first have to be fetched or converted."""
        if self._tokenizer is None and self._source.folder_if_ready() is None:
            return None
        return self.count_tokens(text)

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """One reply per request, in order.

        Every prompt is read alone (sharing prefixes), then `rows` of them are decoded together. Sampling draws from
        the request's own seed, so a reply does not depend on its neighbours.

        Raises:
            BackendInputError: an empty prompt to a model that has no leading mark, or an empty stop string.
            PromptTooLong: prompt and reply would not fit; raised before anything is computed.
            BackendUnavailable: the model cannot be loaded.
            CallFailed: the model's numbers are not finite.
        """
        for request in requests:
            check_allowed(self.capabilities, self.identity, request)
        prompts = [self._text.encode(text_of(request)) for request in requests]
        for request, ids in zip(requests, prompts, strict=True):
            if not ids:
                raise BackendInputError("a prompt needs at least one character, got ''")
            if not all(request.stop):
                raise BackendInputError("a stop string needs at least one character, got '': leave it out")
            self._check_fits(len(ids) + request.max_new_tokens, f"prompt and {request.max_new_tokens} new tokens are")
        replies: dict[int, Completion] = {}
        order = sorted(range(len(requests)), key=lambda i: prompts[i])  # neighbours share the longest prefixes
        rows = self._rows if not order or self._runner.plain else 1
        for begin in range(0, len(order), rows):
            group = order[begin : begin + rows]
            started = [ReplyRow(requests[i], prompts[i], self._text, self._ends) for i in group]
            self._decode(started)
            replies |= {i: row.completion() for i, row in zip(group, started, strict=True)}
        return [replies[i] for i in range(len(requests))]

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        """One reply per request, in order: sums of log-probabilities in nats; see `PlainTokenizer.split` for the cut.

        Raises:
            BackendInputError: an empty continuation, or nothing to condition on.
            PromptTooLong: context and a continuation would not fit; raised before anything is computed.
            BackendUnavailable: the model cannot be loaded.
            CallFailed: the model's numbers are not finite.
        """
        splits = [self._text.split(request.context, request.continuations) for request in requests]
        for split in splits:
            self._check_fits(len(split.context) + max(map(len, split.tails)), "context and continuation are")
        replies: dict[int, Likelihoods] = {}
        for i in sorted(range(len(requests)), key=lambda i: splits[i].context):
            values = self._runner.score(splits[i].context, splits[i].tails)
            if not all(math.isfinite(value) for value in values):
                raise CallFailed(f"log-likelihoods must be finite, {self.identity.model} gave {values}: use float32")
            replies[i] = Likelihoods(values=tuple(values))
        return [replies[i] for i in range(len(requests))]

    def _decode(self, rows: list[ReplyRow]) -> None:
        starts = [self._runner.prefill(row.prompt) for row in rows]
        for row, start in zip(rows, starts, strict=True):
            row.take(start.logits)
        batch = self._runner.batch(starts)
        active = list(rows)
        while True:
            going = [i for i, row in enumerate(active) if not row.done]
            if not going:
                return
            if len(going) < len(active):
                batch.keep(going)
                active = [active[i] for i in going]
            for row, logits in zip(active, batch.step([row.new[-1] for row in active]), strict=True):
                row.take(logits)

    def _check_fits(self, tokens: int, what: str) -> None:
        limit = self._source.context_length
        if limit is not None and tokens > limit:
            raise PromptTooLong(
                f"{what} {tokens} tokens, {self.identity.model} takes {limit}: use fewer shots or layers"
            )

    @property
    def _text(self) -> PlainTokenizer:
        if self._tokenizer is None:
            self._tokenizer = PlainTokenizer.read(self._source.folder())
        return self._tokenizer

    @cached_property
    def _runner(self) -> CausalRunner:
        """Loads the weights, safetensors only: nothing here unpickles."""
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        from llm_backends.causal import CausalRunner

        logging.disable_progress_bar()  # a second's bar that would tear the run's own
        folder = self._source.folder()
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=getattr(torch, checked_dtype(self.identity.dtype)),
                use_safetensors=True,
                local_files_only=True,
            )
            model.to(self._device)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise BackendUnavailable(f"{folder} does not load as a causal model: {reason}") from error
        return CausalRunner(model.eval())

    @cached_property
    def _ends(self) -> frozenset[int]:
        """Tokens that end a reply: those the model's own generation settings name."""
        model = self._runner.model
        ends: set[int] = set()
        for config in (model.generation_config, model.config):
            value = getattr(config, "eos_token_id", None)
            ends |= {value} if isinstance(value, int) else set(value or ())
        return frozenset(ends)
