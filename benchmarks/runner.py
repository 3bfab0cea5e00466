"""The whole trip: samples to requests, replies to scores, records on disk.

for cell, sample in in_order(plan.cells(model)):    # task x data x tokenizer view x scoring rule x setting
    if cell.record_id(sample) in store:             # resume is this line
        continue
    scheduler.start(cell, sample)                   # cell.task.solve(sample, cell.codec)
for solved in scheduler.finished():                 # batches what the started samples ask next
    store.append(record_of(solved))
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.ending import at_end
from benchmarks.faults import FaultWatch
from benchmarks.plan import Plan, in_order
from benchmarks.reply_sources import request_facts
from benchmarks.scheduler import Scheduler, Solved
from llm_backends.cache.cached_backend import CachedBackend
from llm_backends.cache.request_key import prompt_of
from llm_backends.context import ContextLimit
from llm_backends.protocol import Identity
from results.record import Call, Record, Step
from results.store import RunStore

SYNC_SECONDS = 0.2
"""How long a record in its file may wait for the disk itself, to be synced together with others."""
TOGETHER = 512
"""Records of stored replies that are written at once."""


def run_plan(
    plan: Plan,
    backend: CachedBackend,
    store: RunStore,
    progress: Callable[[int], None] = lambda count: None,
    context: ContextLimit | None = None,
    give_up: bool = True,
) -> None:
    """Fills a store with the records of a plan.

    A record is in its file before the reply after it is looked at, and counts as done once it is on the disk itself.
    Whatever stops the run, finished samples are in the store and answered requests in the cache.

    Args:
        plan: what to ask.
        backend: the model, behind the response cache.
        store: samples with a record there are not asked again, unless their call failed.
        progress: called with the number of records found, or made and on disk.
        context: finds prompts that are too long; None leaves that to the backend.
        give_up: stop when request after request fails alike and none was answered; False records each failure.

    Raises:
        SpaeError, TaskError, BackendError, RecordError: see each room; the records made so far are on disk.
        NothingAnswered: the model answers nothing.
    """
    answered = not give_up or any(record.status in ("scored", "empty", "refused") for record in store.records)
    scheduler = Scheduler(backend, context, faults=FaultWatch(answered))
    order = []
    for cell, sample in in_order(plan.cells(backend.identity)):
        order.append(cell.record_id(sample))
        if order[-1] in store:
            progress(1)
            continue
        scheduler.start(cell, sample)
    writer = RecordWriter(store, backend.identity, progress)
    with at_end(writer.finish):
        for solved in scheduler.finished():
            writer.add(solved)
    store.arrange(order)


def record_of(solved: Solved) -> Record:
    """The record of a solved sample."""
    sample, outcome = solved.sample, solved.outcome
    return Record.of(
        solved.cell.key,
        sample_id=sample.id,
        sample_fingerprint=sample.fingerprint,
        prompt=prompt_of(solved.requests[-1]) if solved.requests else "",
        choices=sample.choices,
        target=sample.target,
        references=sample.right_texts,
        reply=outcome.reply,
        prediction=outcome.prediction,
        status=outcome.status,
        scores=outcome.scores,
        explanation=outcome.explanation,
        steps=tuple(Step(**vars(step)) for step in outcome.steps),
        tokens=outcome.tokens,
        images=outcome.images,
    )


class RecordWriter:
    """Writes records as samples are solved, without waiting for the disk more often than necessary.

    Records of stored replies cost nothing to make again and are written together; a record that a model was asked for
    is written at once, so that it survives the end of this process, and synced with its neighbours a moment later.
    """

    def __init__(self, store: RunStore, identity: Identity, progress: Callable[[int], None]) -> None:
        self._store = store
        self._identity = identity
        self._progress = progress
        self._ready: list[tuple[Record, bool, dict[str, Any] | None]] = []
        self._unsynced = 0
        self._written = self._synced = time.perf_counter()

    def add(self, solved: Solved) -> None:
        """Accepts a solved sample."""
        record = record_of(solved)
        self._ready.append((record, solved.cached, request_facts(solved.requests, self._identity)))
        if len(self._ready) >= TOGETHER or not (solved.cached or record.status == "infeasible"):
            self.write()

    def write(self) -> None:
        """On return all records are in the run's files."""
        if self._ready:
            now = time.perf_counter()
            share = (now - self._written) / len(self._ready)
            records = [record for record, _, _ in self._ready]
            calls = [
                Call(record=record.id, cached=cached, seconds=share, request=request)
                for record, cached, request in self._ready
            ]
            self._ready = []
            self._store.append(records, calls, sync=False)
            self._unsynced += len(records)
            self._written = now
        if self._written - self._synced > SYNC_SECONDS:
            self._sync()

    def finish(self) -> None:
        """On return all records are on the disk itself."""
        self.write()
        self._sync()

    def _sync(self) -> None:
        if self._unsynced:
            self._store.sync()
            self._progress(self._unsynced)
            self._unsynced = 0
        self._synced = time.perf_counter()
