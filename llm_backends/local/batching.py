"""How many questions a model answers at once: as many as memory is meant for, and fewer once it ran out.

A batch's size is counted in cells: one cell is the keys and values of one token in one row, which is what grows with
the batch. No size changes a reply; see tests/llm_backends/test_batches.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from llm_backends.errors import BackendInputError, CallFailed

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_CELLS = 1 << 20
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
"""What torch says on accelerators, and on the processor of Linux and Windows and of macOS."""


class BatchSize:
    """The most cells of a batch; halved whenever a batch did not fit, never raised again.

    Args:
        cells: to begin with, at least 1.
        rows: at most so many questions together; None sets no such bound.
    """

    def __init__(self, cells: int, rows: int | None = None) -> None:
        if rows is not None and rows < 1:
            raise BackendInputError(f"rows decoded together must be at least 1, got {rows}")
        self.cells = max(1, min(cells, MOST_CELLS))
        self.rows = rows

    def first(self, costs: Sequence[int]) -> int:
        """How many of the first questions make a batch; at least 1, whatever it costs."""
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
    free: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Item, Result | CallFailed]]:
    """Each item with its result, batch by batch, in order.

    Args:
        items: in the order in which neighbours belong together.
        cost: cells of an item.
        size: of the batches; shrunk where one runs out of memory, and the batch is done again in smaller ones.
        answer: results of a batch, in its order.
        free: gives memory back before another try.

    An item that does not fit alone has CallFailed as its result. Any other error is the caller's.
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
            free()
            if count > 1:
                size.shrink(sum(costs[begin : begin + count]))
                continue
            yield (
                batch[0],
                CallFailed(
                    f"a question must fit in memory alone, one of {costs[begin]} tokens does not ({failure[:120]}): "
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
