"""`llamacpp:FILE`: a GGUF file run by llama.cpp, through the optional package `llama-cpp-python`.

Requests, replies, errors, sampling, stop rules and the split of context and continuation are those of the other local
models. The arithmetic is not: llama.cpp computes with the quantised weights, so its identity has another kind and no
stored reply is shared. Keys and values are fp32, so that reusing a prefix changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from llm_backends.errors import BackendError, BackendInputError, BackendUnavailable, CallFailed
from llm_backends.local.batching import EncodedPrompt, EncodedQuestion, encode_requests
from llm_backends.local.gguf_file import checked_gguf
from llm_backends.local.loading import checked_device
from llm_backends.local.sampler import Sampler
from llm_backends.protocol import (
    Capabilities,
    Completion,
    Identity,
    Likelihoods,
    Reply,
    Request,
    StreamingBackend,
    check_allowed,
)
from llm_backends.text_tokenizer import Split, common_prefix, split_after
from spae.canonical import Frozen, sha256_file

if TYPE_CHECKING:
    import numpy as np

INSTALL = "pip install '.[llamacpp]' (it compiles llama.cpp: a C++ compiler and some minutes are needed)"
MIN_WINDOW = 2048
"""Tokens of context to allocate at first; doubled for a longer request, up to the model's own."""
FLOAT32 = 0
"""GGML_TYPE_F32, for keys and values."""


class LlamaCppOptions(Frozen):
    """How llama.cpp runs a model; none of it changes the identity."""

    gpu_layers: int = Field(default=-1, ge=-1, description="layers on the accelerator, -1 for all; 0 with --device cpu")
    threads: int | None = Field(default=None, ge=1, description="processor threads (default: llama.cpp's own choice)")


def open_llamacpp(argument: str, *, dtype: str, device: str, options: LlamaCppOptions) -> LlamaCppBackend:
    """The backend of a file; its bytes are read once for their sha256, its weights at the first request.

    Raises:
        BackendInputError: the argument is not a whole GGUF file, the device is unknown, or a dtype is given: the
            arithmetic follows from the file.
    """
    if dtype != "float32":
        raise BackendInputError(f"llama.cpp computes as the GGUF file says, got --dtype {dtype}: leave it out")
    return LlamaCppBackend(checked_gguf(argument)[0], device=device, options=options)


class LlamaCppBackend(StreamingBackend):
    """A GGUF file under llama.cpp, one sequence after another; a prefix shared with the last one is not read again.

    Args:
        path: the file.
        device: "cpu" keeps the model off any accelerator; otherwise llama.cpp's build decides.
        options: None for the defaults.
    """

    def __init__(self, path: Path, *, device: str = "auto", options: LlamaCppOptions | None = None) -> None:
        self._path = path
        self._options = options or LlamaCppOptions()
        self._gpu_layers = 0 if checked_device(device) == "cpu" else self._options.gpu_layers
        self._window = 0
        self._ids: list[int] = []
        self._opened: Any = None
        self.tokens_run = 0
        """Tokens that went through the model so far."""

    @cached_property
    def identity(self) -> Identity:
        """The revision is the sha256 of the file; loads nothing."""
        return Identity(kind="llamacpp", model=self._path.stem, revision=sha256_file(self._path), dtype="gguf")

    @cached_property
    def capabilities(self) -> Capabilities:
        """From the file's header; loads nothing."""
        length = checked_gguf(str(self._path))[1].context_length
        return Capabilities(likelihood=True, samples=None, token_prompts=True, tokenizer=True, context_length=length)

    def count_tokens(self, text: str) -> int:
        """Tokens of a prompt, leading special tokens included; loads the model."""
        return len(self.text_tokenizer.encode(text))

    def count_tokens_if_ready(self, text: str) -> int | None:
        """As `count_tokens`, or None if the model is not loaded."""
        return None if self._opened is None else self.count_tokens(text)

    @cached_property
    def text_tokenizer(self) -> LlamaCppTokenizer:
        """The model's own text tokenizer."""
        return LlamaCppTokenizer(self._model(1))

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        """(index, reply or error), each as soon as it is computed; prompts that are too long come first.

        Raises:
            BackendInputError: an empty prompt, stop string or continuation, or a token id the model does not have.
            BackendUnavailable: the package is missing, or the file does not load.
        """
        if not requests:
            return
        for request in requests:
            check_allowed(self.capabilities, self.identity, request)
        encoded = encode_requests(requests, self.text_tokenizer, self.identity.model, self.capabilities.context_length)
        yield from encoded.too_long
        for prompt in encoded.prompts:
            yield prompt.index, self._complete_one(prompt)
        for question in encoded.questions:
            yield question.index, self._score_one(question)

    def _complete_one(self, prompt: EncodedPrompt) -> Completion | CallFailed:
        import torch

        model = self._model(len(prompt.ids) + prompt.request.max_new_tokens)
        ends = self.text_tokenizer.ends
        choices = []
        for sample in range(prompt.request.n):
            sampler = Sampler(prompt.request, prompt.ids, self.text_tokenizer, ends, sample)
            failure = self._read(model, prompt.ids)
            while failure is None:
                sampler.take(torch.from_numpy(model.scores[model.n_tokens - 1].copy()))
                if sampler.done:
                    break
                failure = self._read(model, [*prompt.ids, *sampler.new])
            if failure or sampler.error:
                return failure or sampler.error or CallFailed("no reply")
            choices.append(sampler.choice())
        return Completion(choices=tuple(choices))

    def _score_one(self, question: EncodedQuestion) -> Likelihoods | CallFailed:
        context, tails = question.split.context, question.split.tails
        model = self._model(len(context) + max(map(len, tails)))
        values = []
        for tail in tails:
            failure = self._read(model, [*context, *tail[:-1]])
            if failure:
                return failure
            begin = len(context) - 1
            values.append(_logprob_sum(model.scores[begin : begin + len(tail)], tail))
        if not all(math.isfinite(value) for value in values):
            return CallFailed(f"log-likelihoods must be finite, {self.identity.model} gave {values}")
        return Likelihoods(values=tuple(values))

    def _read(self, model: Any, ids: list[int]) -> CallFailed | None:
        """Reads a sequence after the prefix it shares with the last one; keeps the logits of all positions."""
        known = min(common_prefix(self._ids, ids), len(ids) - 1)
        if known == 0 or _recurrent(model):
            known = 0
            model.reset()
        model.n_tokens = known
        self._ids = []
        try:
            model.eval(ids[known:])
        except (RuntimeError, ValueError) as error:
            model.reset()
            return CallFailed(f"llama.cpp could not read a text of {len(ids)} tokens: {error}")
        self.tokens_run += len(ids) - known
        self._ids = list(ids)
        return None

    def _model(self, tokens: int) -> Any:
        """The model with a context of at least `tokens`; reopened if it has less."""
        if self._opened is not None and tokens <= self._window:
            return self._opened
        try:
            from llama_cpp import Llama
        except (ImportError, OSError, RuntimeError) as error:  # the last two if its shared library does not load
            raise BackendUnavailable(f"llamacpp:FILE needs llama-cpp-python ({error}): {INSTALL}") from error
        limit = self.capabilities.context_length or max(tokens, MIN_WINDOW)
        window = MIN_WINDOW
        while window < tokens:
            window *= 2
        window = min(window, limit)
        self._opened, self._ids = None, []  # frees the old one's memory first
        try:
            self._opened = Llama(
                model_path=str(self._path),
                n_ctx=window,
                n_gpu_layers=self._gpu_layers,
                n_threads=self._options.threads,
                logits_all=True,
                swa_full=True,
                type_k=FLOAT32,
                type_v=FLOAT32,
                verbose=False,
            )
        except (ValueError, RuntimeError, OSError, MemoryError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise BackendUnavailable(f"{self._path} does not load in llama.cpp: {reason}") from error
        self._window = window
        self.__dict__.pop("text_tokenizer", None)  # it belonged to the old model
        return self._opened


class LlamaCppTokenizer:
    """The text tokenizer inside a GGUF file. Markup in a prompt is plain text, as with the other local models.

    Args:
        model: a `llama_cpp.Llama`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        bare, marked = self._pieces(b"a", add_bos=False), self._pieces(b"a", add_bos=True)
        start = next((i for i in range(len(marked)) if marked[i : i + len(bare)] == bare), 0)
        self._lead = marked[:start]

    @cached_property
    def ends(self) -> frozenset[int]:
        """Tokens that end a reply: end of text, and end of turn if the file names one."""
        named = [self._model.metadata.get(f"tokenizer.ggml.{name}_token_id", "") for name in ("eos", "eot")]
        return frozenset({self._model.token_eos(), *(int(value) for value in named if value.isdecimal())} - {-1})

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, leading special tokens included."""
        return self._lead + self.pieces(text)

    def pieces(self, text: str) -> list[int]:
        """Token ids of a text, without leading special tokens."""
        return self._pieces(text.encode(), add_bos=False) if text else []

    def join(self, ids: Sequence[int]) -> str:
        """The text of tokens at the beginning of a text."""
        return self._bytes(ids).decode("utf-8", errors="replace")

    def checked(self, ids: Sequence[int]) -> list[int]:
        """A prompt given as token ids. Raises BackendInputError for an id that the tokenizer does not have."""
        size = self._model.n_vocab()
        for i in ids:
            if not 0 <= i < size:
                raise BackendInputError(f"a prompt's token ids must be below {size}, the model's vocabulary, got {i}")
        return list(ids)

    def split(self, context: str, continuations: Sequence[str]) -> Split:
        """See `llm_backends.text_tokenizer.PlainTokenizer.split`."""
        return split_after(self.encode, context, continuations)

    def decode_after(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        """Text of `new` as it reads after `prompt`."""
        tail = list(prompt[-4:])
        return self._bytes([*tail, *new])[len(self._bytes(tail)) :].decode("utf-8", errors="replace")

    def _bytes(self, ids: Sequence[int]) -> bytes:
        return bytes(self._model.detokenize(list(ids), special=True))

    def _pieces(self, text: bytes, *, add_bos: bool) -> list[int]:
        return list(self._model.tokenize(text, add_bos=add_bos, special=False))


def _recurrent(model: Any) -> bool:
    """Whether a sequence can only be read from its beginning."""
    return bool(getattr(model, "_is_recurrent", False) or getattr(model, "_is_hybrid", False))


def _logprob_sum(logits: np.ndarray, tokens: Sequence[int]) -> float:
    """Sum of the log-probabilities, in nats, of tokens [L] under logits [L, V]."""
    import numpy as np

    rows = np.asarray(logits, dtype=np.float64)
    highest = rows.max(axis=1, keepdims=True)
    sums = highest[:, 0] + np.log(np.exp(rows - highest).sum(axis=1))
    return float((rows[np.arange(len(tokens)), list(tokens)] - sums).sum())
