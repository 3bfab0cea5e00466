"""SAQ against the residual quantizer of vector-quantize-pytorch: a 16x16 grid, 1536 wide, 32,000 words, six layers.

Run with: .venv/bin/python -m pytest benchmarks/speed/test_saq.py --benchmark-only (needs the extra `speed`)
Both quantize the same latents with the same frozen codebook, shared by all layers, in float32, taking turns on the
same machine. What SAQ saves: a pyramid looks up 597 vectors an image and not 6 x 256, and no one-hot rows or square
roots are made. Ratios are in `extra_info`; those that are promised are asserted.

Time is the clock's on a GPU, where there is one; else the processor time of one thread, which a busy machine changes
less.

Memory is what one call adds at its peak, read in a process of its own: on a GPU what the allocator
says, else the resident set by the kernel's count (Linux only).
"""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import torch

from spae.pyramid import Pyramid
from spae.quantizers import ResidualQuantizer, StreamingAverageQuantizer
from spae.quantizers.search import WordTable

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
WORDS, WIDTH, LAYERS = 32_000, 1536, 6
IMAGES = 64 if DEVICE.type == "cuda" else 4
ROUNDS = 10 if DEVICE.type == "cuda" else 3

LEAST_SPEEDUP, MOST_MEMORY, MOST_OVERHEAD = 3.0, 1 / 3, 1.15
"""Promised: times the images a second, share of the peak memory, and time of the search over its bare product."""


def tensors(images: int = IMAGES) -> tuple[torch.Tensor, torch.Tensor]:
    """Codebook [V, C] and latents [B, N, C]."""
    generator = torch.Generator().manual_seed(0)
    codebook = torch.randn(WORDS, WIDTH, generator=generator)
    return codebook.to(DEVICE), torch.randn(images, 256, WIDTH, generator=generator).to(DEVICE)


def ours(codebook: torch.Tensor) -> torch.nn.Module:
    return StreamingAverageQuantizer(codebook, Pyramid.preset("image")).eval().to(DEVICE)


def peer(codebook: torch.Tensor, layers: int = LAYERS) -> torch.nn.Module:
    """ResidualVQ, frozen on the codebook, which all its layers share."""
    package = pytest.importorskip("vector_quantize_pytorch", reason="needs the extra `speed`")
    words, width = codebook.shape
    quantizer = package.ResidualVQ(
        dim=width, num_quantizers=layers, codebook_size=words, shared_codebook=True, freeze_codebook=True
    )
    quantizer.layers[0]._codebook.embed.data.copy_(codebook[None])
    return quantizer.eval().to(DEVICE)


@pytest.fixture(autouse=True)
def one_thread() -> Generator[None, None, None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seconds(function: Callable[[], object]) -> float:
    if DEVICE.type == "cpu":
        start = time.process_time()
        function()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def taking_turns(*functions: Callable[[], object]) -> list[float]:
    """The best time of each, after one call to warm up; a busy spell of the machine meets them all."""
    for function in functions:
        function()
    times = [[seconds(function) for function in functions] for _ in range(ROUNDS)]
    return [min(column) for column in zip(*times, strict=True)]


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@torch.no_grad()
def peak_bytes(build: Callable[[torch.Tensor], torch.nn.Module]) -> int:
    """What one call adds at its peak to the latents and the quantizer."""
    codebook, z = tensors()
    quantizer = build(codebook)
    del codebook
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        quantizer(z)
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts over
    before = resident("VmRSS")
    quantizer(z)
    return resident("VmHWM") - before


def peak_in_a_process(name: str) -> int:
    done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@torch.no_grad()
def test_both_find_the_same_words() -> None:
    """On the published RQ, every layer whole, the two packages agree; so the comparison is of like with like."""
    torch.manual_seed(0)
    codebook, z = torch.randn(300, 8, device=DEVICE), torch.randn(3, 16, 8, device=DEVICE)
    quantized = ResidualQuantizer(codebook, Pyramid([4, 4, 4])).to(DEVICE)(z)
    embedding, ids, _ = peer(codebook, 3)(z)
    assert torch.stack(quantized.ids, -1).equal(ids)
    torch.testing.assert_close(quantized.embeddings[-1], embedding, rtol=0, atol=1e-5)


@torch.no_grad()
def test_images_a_second(benchmark: Callable[..., object]) -> None:
    codebook, z = tensors()
    saq, rvq = ours(codebook), peer(codebook)
    fast, slow = taking_turns(lambda: saq(z), lambda: rvq(z))
    benchmark.extra_info.update(  # type: ignore[attr-defined]
        images_a_second=round(IMAGES / fast, 3),
        times_the_peer=round(slow / fast, 2),
        threads=torch.get_num_threads(),
    )
    benchmark.pedantic(saq, (z,), rounds=1)  # type: ignore[attr-defined]
    assert slow / fast >= LEAST_SPEEDUP


@pytest.mark.skipif(
    DEVICE.type == "cpu" and not os.access("/proc/self/clear_refs", os.W_OK), reason="counts memory on Linux or a GPU"
)
def test_peak_memory(benchmark: Callable[..., object]) -> None:
    saq, rvq = peak_in_a_process("saq"), peak_in_a_process("rvq")
    benchmark.extra_info.update(  # type: ignore[attr-defined]
        mebibytes=saq >> 20, peers_mebibytes=rvq >> 20, share_of_the_peer=round(saq / rvq, 3)
    )
    benchmark.pedantic(lambda: None, rounds=1)  # type: ignore[attr-defined]
    assert saq / rvq <= MOST_MEMORY


@torch.no_grad()
def test_search_over_its_bare_product(benchmark: Callable[..., object]) -> None:
    codebook, z = tensors()
    rows, table = z.flatten(0, 1), WordTable(codebook).to(DEVICE)
    search, product = taking_turns(lambda: table.nearest(rows), lambda: rows @ codebook.T)
    benchmark.extra_info.update(times_the_product=round(search / product, 3))  # type: ignore[attr-defined]
    benchmark.pedantic(table.nearest, (rows,), rounds=1)  # type: ignore[attr-defined]
    assert search / product <= MOST_OVERHEAD


if __name__ == "__main__":
    print(peak_bytes({"saq": ours, "rvq": peer}[sys.argv[1]]))
