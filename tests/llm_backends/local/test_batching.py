"""Batches that run out of memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm_backends.errors import BackendInputError, CallFailed
from llm_backends.local.batching import MAX_CELLS, BatchSize, in_batches, is_out_of_memory

FAULTS = [
    pytest.param(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), id="cuda"),
    pytest.param(
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"), id="cpu"
    ),
    pytest.param(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), id="linux"),
    pytest.param(RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), id="mps"),
    pytest.param(MemoryError(), id="python"),
]


class Machine:
    """Answers a batch with its numbers doubled, as long as their sum is at most `room`."""

    def __init__(self, room: int, fault: Exception) -> None:
        self.room = room
        self.fault = fault
        self.batches: list[list[int]] = []
        self.freed = 0

    def answer(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        if sum(batch) > self.room:
            raise self.fault
        return [2 * one for one in batch]

    def free(self, batch: Sequence[int]) -> None:
        self.freed += 1


def cost(item: int) -> int:
    return item


@pytest.mark.parametrize("fault", FAULTS)
def test_a_batch_that_does_not_fit_is_split(fault: Exception) -> None:
    machine, size = Machine(20, fault), BatchSize(100)
    items = [10] * 10
    given = list(in_batches(items, cost, size, machine.answer, machine.free))
    assert given == [(10, 20)] * 10
    assert [len(batch) for batch in machine.batches] == [10, 5, 2, 2, 2, 2, 2]
    assert machine.freed == 2 and size.cells == 25
    machine.batches.clear()
    list(in_batches(items, cost, size, machine.answer, machine.free))
    assert [len(batch) for batch in machine.batches] == [2] * 5, "the size that fitted is remembered"


@pytest.mark.parametrize("fault", FAULTS)
def test_an_item_that_never_fits_does_not_affect_others(fault: Exception) -> None:
    machine = Machine(20, fault)
    given = list(in_batches([5, 30, 6, 7], cost, BatchSize(1000), machine.answer, machine.free))
    assert [item for item, _ in given] == [5, 30, 6, 7]
    assert [result for item, result in given if item != 30] == [10, 12, 14]
    error = given[1][1]
    assert isinstance(error, CallFailed) and "30 tokens" in str(error) and "--dtype bfloat16" in str(error)


def test_any_other_error_is_raised() -> None:
    machine = Machine(0, RuntimeError("expected all tensors to be on the same device"))
    with pytest.raises(RuntimeError, match="same device"):
        list(in_batches([1, 2], cost, BatchSize(10), machine.answer))
    assert len(machine.batches) == 1


@given(
    items=st.lists(st.integers(1, 40), max_size=20),
    cells=st.integers(1, 200),
    rows=st.none() | st.integers(1, 5),
    room=st.integers(1, 120),
)
def test_every_item_is_answered_once_in_order(items: list[int], cells: int, rows: int | None, room: int) -> None:
    machine = Machine(room, MemoryError())
    given = list(in_batches(items, cost, BatchSize(cells, rows), machine.answer))
    assert [item for item, _ in given] == items
    for item, result in given:
        assert result == 2 * item if item <= room else isinstance(result, CallFailed)
    for batch in machine.batches:
        assert len(batch) <= (rows or len(items)) and (sum(batch) <= cells or len(batch) == 1)


def test_sizes_out_of_range() -> None:
    with pytest.raises(BackendInputError, match="at least 1, got 0"):
        BatchSize(10, 0)
    assert BatchSize(0).cells == 1 and BatchSize(MAX_CELLS * 9).cells == MAX_CELLS


def test_other_runtime_errors_are_not_out_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
