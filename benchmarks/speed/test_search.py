"""Speed of the nearest-word search: against torch's own distances, and against the bare product.

Run with: .venv/bin/python -m pytest benchmarks/speed --benchmark-only
Each benchmark stores its ratio in `extra_info`; nothing is asserted on a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from spae.quantizers.search import WordTable

ROWS, WORDS, WIDTH = 512, 21_185, 576


def seconds(function: Callable[[], object], rounds: int = 3) -> float:
    """The best of a few rounds, after one to warm up."""
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.fixture(scope="module")
def tensors() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(ROWS, WIDTH, generator=generator),
        torch.randn(WORDS, WIDTH, generator=generator),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_search(
    benchmark: Callable[..., object], tensors: tuple[torch.Tensor, torch.Tensor], dtype: torch.dtype
) -> None:
    rows, words = tensors
    table = WordTable(words, dtype)
    ours = seconds(lambda: table.nearest(rows))
    peer = seconds(lambda: torch.cdist(rows, words).argmin(1))
    limit = seconds(lambda: rows.to(dtype) @ words.to(dtype).T)
    benchmark.extra_info.update(  # type: ignore[attr-defined]
        times_faster_than_cdist=round(peer / ours, 2), share_of_bare_product=round(limit / ours, 2)
    )
    benchmark(table.nearest, rows)
