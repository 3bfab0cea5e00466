"""Reductions and gathers between the processes that share a batch; with one process, all of them are the identity.

R rows of a process, W processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed

from spae.errors import InputError


def is_distributed() -> bool:
    """Whether several processes share a batch."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def check_launcher(environment: Mapping[str, str]) -> None:
    """Refuse `accelerate launch --cpu`, which without MPI starts one process however many it was asked for.

    (accelerate 1.15, `prepare_simple_launcher_cmd_env`.)

    Raises:
        InputError: this process was started so.
    """
    on_cpu = environment.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    if on_cpu and "MASTER_ADDR" in environment and "WORLD_SIZE" not in environment:
        raise InputError(
            "accelerate launch --cpu starts one process, whatever --num_processes says: use "
            "torchrun --nproc_per_node 2 -m spae train ... for several, python -m spae train ... for one"
        )


def on_cpus(environment: Mapping[str, str]) -> bool:
    """Whether a launcher started several processes on a machine without an accelerator, as plain torchrun may.

    accelerate takes each for a run of its own unless this is set.
    """
    return int(environment.get("WORLD_SIZE") or 1) > 1 and not torch.accelerator.is_available()


def all_gather(rows: Tensor) -> Tensor:
    """[R, ...] -> [W R, ...]: the rows of all processes, in the order of their ranks; every process must call it.

    Differentiable: each process gets the sum over processes of the gradients of its rows, so the average that
    DistributedDataParallel takes is right for losses that are means over a process's own rows.
    """
    return _AllGather.apply(rows) if is_distributed() else rows  # type: ignore[no-untyped-call]


def local_rows(rows: Tensor) -> Tensor:
    """[W R, ...] -> [R, ...]: the inverse of `all_gather`."""
    return rows.chunk(distributed.get_world_size())[distributed.get_rank()] if is_distributed() else rows


@torch.no_grad()
def all_reduce_mean(values: Tensor) -> Tensor:
    """The mean over processes of a tensor of any shape, without gradient; every process must call it."""
    if not is_distributed():
        return values.detach()
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


@torch.no_grad()
def all_reduce_min(values: Tensor) -> Tensor:
    """The minimum over processes, element by element, without gradient; every process must call it."""
    if not is_distributed():
        return values.detach()
    least = values.detach().clone()
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return least


class _AllGather(torch.autograd.Function):
    """Own code because torch's differentiable gather needs an all-to-all, which not every backend has."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return local_rows(total)
