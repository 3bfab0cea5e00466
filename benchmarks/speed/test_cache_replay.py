"""Speed of a replay: stored replies found and checked, against SQLite's bare reading of the same rows.

Run with: .venv/bin/python -m pytest benchmarks/speed/test_cache_replay.py --benchmark-only
Prompts are those of the embedded 5-way demo. Each benchmark stores replies a second and its ratio in
`extra_info`, in processor time, which a busy machine changes less; nothing is asserted on a clock.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

import pytest

from benchmarks.reply_sources import COMMITTED
from llm_backends.cache.cached_backend import CachedBackend
from llm_backends.cache.entry import Entry
from llm_backends.cache.jsonl import ReadOnlySource
from llm_backends.cache.response_cache import AT_ONCE, SELECT, ReplyCache
from llm_backends.protocol import Backend

BLOCK = 256
"""Questions asked at once, as a run does."""


def seconds(function: Callable[[], object], rounds: int = 3) -> float:
    """Processor time of the best of a few rounds, after one to warm up."""
    function()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    layer = ReadOnlySource(COMMITTED / "miniimagenet-5way-smollm2.jsonl")
    found = [layer.entry(key) for key in layer.keys()]  # noqa: SIM118 (a method of the layer)
    return [entry for entry in found if entry is not None]


@pytest.fixture(scope="module")
def store(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> ReplyCache:
    made = ReplyCache(tmp_path_factory.mktemp("cache") / "replies.sqlite")
    made.add(entries)
    return made


def no_model() -> Backend:
    raise AssertionError("a replay makes no model")


def replayed(backend: CachedBackend, entries: list[Entry]) -> int:
    requests = [entry.request for entry in entries]
    blocks = [requests[begin : begin + BLOCK] for begin in range(0, len(requests), BLOCK)]
    return sum(answer.cached for block in blocks for answer in backend.ask(block))


def test_sqlite_replay(benchmark: Callable[..., object], entries: list[Entry], store: ReplyCache) -> None:
    """From the store, whole rows checked; the limit is SQLite giving the same rows and nobody looking at them."""
    backend = CachedBackend(no_model, entries[0].identity, store, mode="cache-only")
    assert replayed(backend, entries) == len(entries)
    connection = sqlite3.connect(store.path)
    keys = [entry.key for entry in entries]

    def bare() -> None:
        for begin in range(0, len(keys), AT_ONCE):
            some = keys[begin : begin + AT_ONCE]
            connection.execute(f"{SELECT} where key in ({','.join('?' * len(some))})", some).fetchall()

    ours, limit = seconds(lambda: replayed(backend, entries)), seconds(bare)
    connection.close()
    benchmark.extra_info.update(  # type: ignore[attr-defined]
        replies_a_second=round(len(entries) / ours), times_bare_select=round(ours / limit, 1)
    )
    benchmark(replayed, backend, entries)


def test_replay_from_lines(benchmark: Callable[..., object], entries: list[Entry]) -> None:
    """From a committed file, its lines in memory; every line is parsed, its key and its checksum recomputed."""
    layer = ReadOnlySource(COMMITTED / "miniimagenet-5way-smollm2.jsonl")
    backend = CachedBackend(no_model, entries[0].identity, None, [layer], mode="cache-only")
    ours = seconds(lambda: replayed(backend, entries))
    benchmark.extra_info.update(replies_a_second=round(len(entries) / ours))  # type: ignore[attr-defined]
    benchmark(replayed, backend, entries)
