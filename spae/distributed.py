"""What processes that share a batch must know of each other. With one process, all of it does nothing.

R rows of a process, W processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def shared() -> bool:
    """Whether a batch is shared by several processes."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def every_row(rows: Tensor) -> Tensor:
    """[R, ...] -> [W R, ...]: the rows of all processes, in the order of their ranks; every process must call it.

    With a gradient: each process gets what all of them ask of its rows. Summed over processes, so the average that
    DistributedDataParallel takes is right for losses that are means over a process's own rows.
    """
    return _EveryRow.apply(rows) if shared() else rows  # type: ignore[no-untyped-call]


def own_rows(rows: Tensor) -> Tensor:
    """[W R, ...] -> [R, ...]: the inverse of `every_row`."""
    return rows.chunk(distributed.get_world_size())[distributed.get_rank()] if shared() else rows


@torch.no_grad()
def mean_of_processes(values: Tensor) -> Tensor:
    """The mean over processes of a tensor of any shape, without gradient; every process must call it."""
    if not shared():
        return values.detach()
    whole = values.detach().clone()
    distributed.all_reduce(whole)
    return whole / distributed.get_world_size()


@torch.no_grad()
def least_of_processes(values: Tensor) -> Tensor:
    """The least over processes, element by element; every process must call it."""
    if not shared():
        return values.detach()
    whole = values.detach().clone()
    distributed.all_reduce(whole, distributed.ReduceOp.MIN)
    return whole


class _EveryRow(torch.autograd.Function):
    """Written out because not every backend has the all-to-all that torch's own differentiable gather needs."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous().clone()
        distributed.all_reduce(whole)
        return own_rows(whole)
