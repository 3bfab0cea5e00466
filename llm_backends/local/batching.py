"""From requests to batches: token ids, the order in which neighbours share a prefix, and batches that fit in memory.

The size of a batch is counted in cells: one cell is the keys and values of one token in one row, which is what grows
with the batch. No size changes a reply; see tests/llm_backends/test_batches.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from llm_backends.errors import BackendInputError, CallFailed, PromptTooLong
from llm_backends.protocol import CompletionRequest, LikelihoodRequest, Request
from llm_backends.text_tokenizer import Split

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_CELLS = 1 << 20
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
"""In torch's messages on accelerators, and on the processor of Linux and Windows and of macOS."""


class TextTokenizer(Protocol):
    """A language model's own tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, leading special tokens included."""
        ...

    def checked(self, ids: Sequence[int]) -> list[int]:
        """A prompt given as ids. Raises BackendInputError for an id that the tokenizer does not have."""
        ...

    def split(self, context: str, continuations: Sequence[str]) -> Split:
        """Context and continuations split at one token. Raises BackendInputError."""
        ...

    def decode_after(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        """Text of `new` as it reads after `prompt`."""
        ...


@dataclass(frozen=True)
class EncodedPrompt:
    """A completion request in tokens, with its index among the requests."""

    index: int
    request: CompletionRequest
    ids: list[int]


@dataclass(frozen=True)
class EncodedQuestion:
    """A likelihood request in tokens, with its index among the requests."""

    index: int
    split: Split


@dataclass(frozen=True)
class EncodedRequests:
    """Requests in tokens, each kind sorted so that neighbours share a prefix; and those that are too long."""

    prompts: list[EncodedPrompt]
    questions: list[EncodedQuestion]
    too_long: list[tuple[int, PromptTooLong]]


def encode_requests(
    requests: Sequence[Request], tokenizer: TextTokenizer, model: str, limit: int | None
) -> EncodedRequests:
    """Encodes requests of either kind, in any mixture.

    Args:
        model: its name, for messages.
        limit: its context length in tokens, prompt and reply together; None if unknown.

    Raises:
        BackendInputError: an empty prompt, stop string or continuation, or a token id the model does not have.
    """
    result = EncodedRequests([], [], [])
    for index, request in enumerate(requests):
        if isinstance(request, LikelihoodRequest):
            split = tokenizer.split(request.context, request.continuations)
            tokens, what = len(split.context) + max(map(len, split.tails)), "context and continuation are"
            if limit is None or tokens <= limit:
                result.questions.append(EncodedQuestion(index, split))
                continue
        else:
            ids = _prompt_ids(request, tokenizer)
            tokens, what = len(ids) + request.max_new_tokens, f"prompt and {request.max_new_tokens} new tokens are"
            if limit is None or tokens <= limit:
                result.prompts.append(EncodedPrompt(index, request, ids))
                continue
        error = PromptTooLong(f"{what} {tokens} tokens, {model} takes {limit}: use fewer shots or layers")
        result.too_long.append((index, error))
    result.prompts.sort(key=lambda one: one.ids)
    result.questions.sort(key=lambda one: one.split.context)
    return result


class BatchSize:
    """The most cells of a batch; halved whenever a batch did not fit, never raised again.

    Args:
        cells: to begin with, at least 1.
        rows: most rows of a batch; None for no limit.
    """

    def __init__(self, cells: int, rows: int | None = None) -> None:
        if rows is not None and rows < 1:
            raise BackendInputError(f"rows of a batch must be at least 1, got {rows}")
        self.cells = max(1, min(cells, MAX_CELLS))
        self.rows = rows

    def first(self, costs: Sequence[int]) -> int:
        """How many of the first items make a batch; at least 1, whatever it costs."""
        count, total = 1, costs[0]
        while count < min(len(costs), self.rows or len(costs)) and total + costs[count] <= self.cells:
            total += costs[count]
            count += 1
        return count

    def shrink(self, cost: int) -> None:
        """After a batch of this cost ran out of memory."""
        self.cells = max(1, min(self.cells, cost) // 2)


def in_batches(
    items: Sequence[Item],
    cost: Callable[[Item], int],
    size: BatchSize,
    answer: Callable[[Sequence[Item]], Sequence[Result]],
    on_out_of_memory: Callable[[Sequence[Item]], None] = lambda batch: None,
) -> Iterator[tuple[Item, Result | CallFailed]]:
    """Each item with its result, batch by batch, in order.

    Args:
        items: in an order in which neighbours share a prefix.
        cost: cells of an item.
        size: of the batches; shrunk when one runs out of memory, which is then computed again in smaller ones.
        answer: results of a batch, in its order.
        on_out_of_memory: called with a batch that did not fit, before it is tried again.

    An item that does not fit alone has CallFailed as its result. Any other error is raised.
    """
    costs = [cost(item) for item in items]
    begin = 0
    while begin < len(items):
        count = size.first(costs[begin:])
        batch = items[begin : begin + count]
        failure = ""
        try:
            results: Sequence[Result] = answer(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failure = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if failure:  # outside of `except`, whose traceback would hold the batch's tensors
            on_out_of_memory(batch)
            if count > 1:
                size.shrink(sum(costs[begin : begin + count]))
                continue
            yield (
                batch[0],
                CallFailed(
                    f"a request must fit in memory alone, one of {costs[begin]} tokens does not ({failure[:120]}): "
                    "use fewer shots or layers, --dtype bfloat16 or another --device"
                ),
            )
        else:
            yield from zip(batch, results, strict=True)
        begin += count


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch (or Python) ran out of memory, on whatever device."""
    text = str(error).lower()
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(words in text for words in OUT_OF_MEMORY)


def _prompt_ids(request: CompletionRequest, tokenizer: TextTokenizer) -> list[int]:
    if not all(request.stop):
        raise BackendInputError("a stop string needs at least one character, got '': leave it out")
    prompt = request.prompt
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else tokenizer.checked(prompt)
    if not ids:
        raise BackendInputError(f"a prompt needs at least one character or token, got {prompt!r}")
    return ids
