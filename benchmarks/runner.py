"""The main path: questions to answers, answers to records on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from benchmarks.plan import Plan
from benchmarks.questions import Question, origin_of, questions, record_of
from benchmarks.replies import what_was_asked
from llm_backends.cache.cached_backend import Answer, CachedBackend
from llm_backends.context import ContextLimit
from results.record import Call, Record
from results.store import RunStore

BLOCK = 2048
"""Questions that are looked up, and handed to the model, at once. At the end of each a server idles until the last call
has been tried again for as long as it takes, so there should be few."""
SYNC_SECONDS = 0.2
"""How long a record in its file may wait to be brought to the disk itself, together with others."""


@dataclass(frozen=True)
class Runner:
    """Fills a store with the records of a plan.

    Args:
        plan: what to ask.
        backend: whom to ask.
        store: what is there already is not asked again, unless its call failed.
        progress: told of records made or found (their number) once they are on disk.
        context: finds prompts that are too long; None leaves that to the backend.
    """

    plan: Plan
    backend: CachedBackend
    store: RunStore
    progress: Callable[[int], None] = lambda count: None
    context: ContextLimit | None = None

    def run(self) -> None:
        """Asks what is missing or failed.

        A record is in its file before the answer after it is looked at, and counts as done once it is on the disk
        itself. Whatever stops the run, what was answered is kept.

        Raises:
            SpaeError, TaskError, BackendError, RecordError: see each room; the records made so far are on disk.
        """
        order: list[str] = []

        def wanted(record_id: str) -> bool:
            order.append(record_id)
            if record_id not in self.store:
                return True
            self.progress(1)
            return False

        asked = questions(self.plan, self.backend.identity, wanted)
        writer = RecordWriter(self.store, self.progress)
        try:
            while block := list(islice(asked, BLOCK)):
                for question, answer in self._answers(block):
                    parts = what_was_asked(question.request, self.backend.identity)
                    writer.take(record_of(question, answer), answer.cached, parts)
                writer.write()
        finally:
            writer.finish()
        self.store.arrange(order)

    def _answers(self, block: Sequence[Question]) -> Iterator[tuple[Question, Answer]]:
        """Prompts over the model's context first, then answers as they come."""
        fitting = []
        for question in block:
            error = None if self.context is None else self.context.too_long(question.request)
            if error is None:
                fitting.append(question)
            else:
                yield question, Answer(None, cached=False, error=error)
        origins = [origin_of(question) for question in fitting]
        for index, answer in self.backend.ask_each([question.request for question in fitting], origins):
            yield fitting[index], answer


class RecordWriter:
    """Takes records as their answers come, and writes them without waiting for the disk more often than it must.

    Records that cost nothing to make again are written together; one that a model was asked for is written at once,
    so that it survives the end of this process, and synced with its neighbours a moment later.
    """

    def __init__(self, store: RunStore, progress: Callable[[int], None]) -> None:
        self._store = store
        self._progress = progress
        self._ready: list[tuple[Record, bool, dict[str, Any] | None]] = []
        self._unsynced = 0
        self._written = self._synced = time.perf_counter()

    def take(self, record: Record, cached: bool, asked: dict[str, Any] | None = None) -> None:
        """Accepts one record; `cached` where its reply was stored before, `asked` as in `Call`."""
        self._ready.append((record, cached, asked))
        if not cached and record.status != "infeasible":
            self.write()

    def write(self) -> None:
        """On return all that was taken is in the run's files."""
        if self._ready:
            now = time.perf_counter()
            share = (now - self._written) / len(self._ready)
            records = [record for record, _, _ in self._ready]
            calls = [
                Call(record=record.id, cached=cached, seconds=share, request=asked)
                for record, cached, asked in self._ready
            ]
            self._ready = []
            self._store.append(records, calls, sync=False)
            self._unsynced += len(records)
            self._written = now
        if self._written - self._synced > SYNC_SECONDS:
            self._sync()

    def finish(self) -> None:
        """On return all that was taken is on the disk itself."""
        self.write()
        self._sync()

    def _sync(self) -> None:
        if self._unsynced:
            self._store.sync()
            self._progress(self._unsynced)
            self._unsynced = 0
        self._synced = time.perf_counter()
