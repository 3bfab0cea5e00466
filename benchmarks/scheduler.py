"""Drives many samples at once: gathers what their tasks ask next, asks it together, and sends each its replies.

Samples are solved by generators (`tasks.protocol.Solution`). In each round the requests of all open samples go to the
cached backend as one batch, so that a task of ten steps fills the model's batches as well as a task of one. No state
but the generators is kept: in a killed run's repetition, answered requests come from the cache.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from benchmarks.errors import BenchmarkError
from benchmarks.plan import Cell
from llm_backends.cache.cached_backend import Answer, CachedBackend
from llm_backends.cache.entry import Provenance
from llm_backends.context import ContextLimit
from llm_backends.errors import PromptTooLong
from llm_backends.protocol import Failure, LikelihoodRequest, Reply, Request
from tasks.protocol import Outcome, Sample, Solution

WINDOW = 2048
"""Requests asked in one round. At the end of a round a server waits for its slowest call, so rounds should be few."""


@dataclass(frozen=True)
class Solved:
    """A sample and its outcome.

    Attributes:
        requests: everything that was asked for it, in order.
        cached: every reply was stored before; False for a sample that asked nothing.
    """

    cell: Cell
    sample: Sample
    outcome: Outcome
    requests: tuple[Request, ...]
    cached: bool


@dataclass
class _Open:
    """A sample being solved.

    Attributes:
        number: in the order of `Scheduler.start`.
        pending: what it asked last.
        replies: to `pending`, as far as they are there.
    """

    number: int
    cell: Cell
    sample: Sample
    solution: Solution
    requests: list[Request] = field(default_factory=list)
    pending: tuple[Request, ...] = ()
    replies: dict[int, Reply | Failure] = field(default_factory=dict)
    cached: bool = True

    def advance(self) -> Solved | None:
        """Runs the task up to its next requests; its outcome if it has no more."""
        replies = tuple(self.replies[place] for place in range(len(self.pending)))
        self.replies = {}
        try:
            # A yield of no requests is answered at once: a task may have nothing to ask in one of its steps.
            self.pending = self.solution.send(replies) if self.requests or replies else next(self.solution)
            while not self.pending:
                self.pending = self.solution.send(())
        except StopIteration as end:
            asked = tuple(self.requests)
            if not isinstance(end.value, Outcome):
                raise _wrong(self.cell, f"return a tasks.protocol.Outcome, got {type(end.value).__name__}") from None
            return Solved(self.cell, self.sample, end.value, asked, self.cached and bool(asked))
        if not (isinstance(self.pending, tuple) and all(isinstance(one, Request) for one in self.pending)):
            raise _wrong(self.cell, f"yield a tuple of requests, got {self.pending!r:.80}")
        self.requests += self.pending
        return None


class Scheduler:
    """Solves samples over a cached backend.

    Args:
        backend: answers from the cache, else from the model.
        context: finds prompts that are too long for the model; None leaves that to the backend.
        window: requests asked in one round, at least as many as the model's batch holds.
    """

    def __init__(self, backend: CachedBackend, context: ContextLimit | None = None, window: int = WINDOW) -> None:
        self._backend = backend
        self._context = context
        self._window = window
        self._waiting: deque[tuple[Cell, Sample]] = deque()
        self._opened = 0

    def start(self, cell: Cell, sample: Sample) -> None:
        """Adds a sample. It is opened by `finished`, when the window has room."""
        self._waiting.append((cell, sample))

    def finished(self) -> Iterator[Solved]:
        """Each sample once, as soon as it is solved.

        Raises:
            SpaeError, TaskError, BackendError: see each room; what was answered so far is in the cache.
        """
        asking: list[_Open] = []
        while True:
            yield from self._open(asking)
            if not asking:
                return
            asked, asking = sorted(asking, key=lambda one: one.number), []
            for one in self._answered(asked):
                solved = one.advance()
                if solved is None:
                    asking.append(one)
                else:
                    yield solved

    def _open(self, asking: list[_Open]) -> Iterator[Solved]:
        """Opens samples until the window is full; adds them to `asking`, or yields those that ask nothing."""
        room = self._window - sum(len(one.pending) for one in asking)
        while room > 0 and self._waiting:
            _prepare(list(islice(self._waiting, room)))
            for _ in range(min(room, len(self._waiting))):
                cell, sample = self._waiting.popleft()
                solution = cell.task.solve(sample, cell.codec)
                if not isinstance(solution, Generator):
                    raise _wrong(cell, f"be a generator, got {type(solution).__name__}")
                one = _Open(self._opened, cell, sample, solution)
                self._opened += 1
                solved = one.advance()
                if solved is not None:
                    yield solved
                    continue
                asking.append(one)
                room -= len(one.pending)
                if room <= 0:
                    break

    def _answered(self, asking: Sequence[_Open]) -> Iterator[_Open]:
        """Each sample once all its pending requests have a reply or failure."""
        places = [(one, place) for one in asking for place in range(len(one.pending))]
        # One kind of request at a time: a local model batches neighbours of one kind.
        places.sort(key=lambda at: isinstance(at[0].pending[at[1]], LikelihoodRequest))
        fitting = []
        for one, place in places:
            error = None if self._context is None else self._context.too_long(one.pending[place])
            if error is None:
                fitting.append((one, place))
            elif _settle(one, place, Answer(None, cached=False, error=error)):
                yield one
        requests = [one.pending[place] for one, place in fitting]
        origins = [_origin(one) for one, _ in fitting]
        for index, answer in self._backend.ask_each(requests, origins):
            one, place = fitting[index]
            if _settle(one, place, answer):
                yield one


def _wrong(cell: Cell, rule: str) -> BenchmarkError:
    """What a task that breaks the protocol ends a run with."""
    return BenchmarkError(f"solve of task {cell.key.task!r} must {rule}: mend or uninstall the package that adds it")


def _settle(one: _Open, place: int, answer: Answer) -> bool:
    """Notes an answer; True if it was the last one missing."""
    if answer.reply is not None:
        one.replies[place] = answer.reply
    else:
        too_long = isinstance(answer.error, PromptTooLong)
        message = str(answer.error or "no reply and no error")
        one.replies[place] = Failure(reason="too_long" if too_long else "failed", message=message)
    one.cached = one.cached and answer.cached
    return len(one.replies) == len(one.pending)


def _prepare(batch: Sequence[tuple[Cell, Sample]]) -> None:
    """Encodes the images of samples in batches, each once per codec."""
    codecs = {id(cell.codec): cell.codec for cell, _ in batch}
    images: dict[int, dict[str, None]] = {key: {} for key in codecs}
    for cell, sample in batch:
        images[id(cell.codec)].update(dict.fromkeys(sample.images))
    for key, codec in codecs.items():
        codec.prepare(list(images[key]))


def _origin(one: _Open) -> Provenance:
    """What is written beside a reply: what it was asked for."""
    key = one.cell.key
    return Provenance(
        task=key.task, sample=one.sample.id, tokenizer=key.tokenizer, fingerprint=key.tokenizer_fingerprint
    )
