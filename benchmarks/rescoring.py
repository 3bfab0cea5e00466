"""Scores of a run's records, computed again: from each record's own reply, or from the stored reply to its request.

An edited score, or one of an older scoring rule, is not believed: `run` puts it right in the folder, `report` in what
it prints, and `report --verify` names it. Only tasks whose outcome is a function of one reply (`ScoresReplies`) can be
scored again; what cannot is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from benchmarks.corpus import score_tasks
from benchmarks.reply_sources import request_of
from llm_backends.cache.cached_backend import CachedBackend
from llm_backends.cache.entry import ReplySource
from llm_backends.errors import BackendUnavailable, CacheMiss
from llm_backends.protocol import Backend, Choice, Completion, Identity, Likelihoods, Reply, Request
from results.analysis.corpus import load_corpus
from results.record import Record
from results.store import RunStore
from tasks.errors import TaskError
from tasks.protocol import CorpusScored, Outcome, Sample, Samples, ScoresReplies, Style, Task
from tasks.registry import open_task
from tasks.scoring import RULES

MANIFEST = "episodes-{task}.json"
"""The manifest of a task in a run's folder."""
TOLERANCE = 1e-9
"""Of a score: what another order of floating point sums may change."""
COMPARED = ("status", "scores", "prediction", "reply", "target", "choices", "references")
SHOWN = 10


@dataclass(frozen=True)
class Rescored:
    """What scoring a run's records again gave.

    Attributes:
        changed: (as recorded, as it follows from the reply) of each record that differs.
        corpora: lines on metrics of whole corpora that differ.
        from_store: records scored from the stored reply to their request.
        from_record: records scored from the reply that they hold themselves.
        skipped: reason -> records that could not be scored again.
    """

    changed: tuple[tuple[Record, Record], ...]
    corpora: tuple[str, ...]
    from_store: int
    from_record: int
    skipped: Mapping[str, int]

    @property
    def records(self) -> list[Record]:
        """The records that differ, put right."""
        return [right for _, right in self.changed]

    @property
    def differs(self) -> bool:
        """Whether a record, or a metric of a whole corpus, is not what follows from the replies."""
        return bool(self.changed or self.corpora)

    @property
    def note(self) -> str:
        """One line for a report; empty if nothing differs."""
        if not self.changed:
            return ""
        count = len(self.changed)
        return (
            f"{count} record{'s' * (count != 1)} did not hold the score of {'its' if count == 1 else 'their'} reply "
            f"(first: {difference(*self.changed[0])}): scored again"
        )

    @property
    def lines(self) -> list[str]:
        """What `--verify` says: the first differences, then the counts."""
        shown = [f"differs: {difference(*pair)}" for pair in self.changed[:SHOWN]]
        more = len(self.changed) - SHOWN
        counts = f"{self.from_store:,} from stored replies, {self.from_record:,} from the records' own replies"
        done = self.from_store + self.from_record
        return [
            *shown,
            *([f"differs: {more:,} more records"] if more > 0 else []),
            *(f"differs: {line}" for line in self.corpora),
            *(f"not verified: {count:,} records: {reason}" for reason, count in self.skipped.items()),
            f"{done:,} records scored again ({counts}), {len(self.changed) + len(self.corpora):,} differ",
        ]


def difference(recorded: Record, right: Record) -> str:
    """How a record differs from what follows from its reply, on one line."""
    parts = [
        f"{name} {getattr(recorded, name)!r} instead of {getattr(right, name)!r}"
        for name in COMPARED
        if getattr(recorded, name) != getattr(right, name)
    ]
    return f"{recorded.sample_id} of {recorded.tokenizer} {recorded.layers}: {', '.join(parts)}"


def rescore(store: RunStore, manifests: Mapping[str, Samples]) -> Rescored:
    """The records of a run, each scored again from the reply that it holds.

    Args:
        store: of the run.
        manifests: of its tasks, by name; records of others are skipped.
    """
    return _rescored(store, manifests, {})


def verify_scores(store: RunStore, sources: Sequence[ReplySource]) -> Rescored:
    """The records of a run, each scored again from the stored reply to its request; without one, from its own.

    Metrics of whole corpora are computed again, too.

    Args:
        store: of the run; its folder holds the manifests.
        sources: of stored replies.

    Raises:
        CacheCorrupt: a stored reply is damaged.
        UsageError: calls.jsonl is broken.
    """
    return _rescored(store, load_manifests(store), _stored_replies(store, sources), corpora=True)


def load_manifests(store: RunStore) -> dict[str, Samples]:
    """The manifests in a run's folder that are those that it ran with."""
    found: dict[str, Samples] = {}
    for name in dict.fromkeys(record.task for record in store.records):
        try:
            task = open_task(name)
            if isinstance(task, ScoresReplies):
                samples = task.load_samples(store.folder / MANIFEST.format(task=name))
                if samples.fingerprint == store.config.get("samples_sha256", {}).get(name):
                    found[name] = samples
        except TaskError:
            continue  # a baseline has no manifests, another installation not all tasks: counted as not verified
    return found


def _rescored(
    store: RunStore, manifests: Mapping[str, Samples], replies: Mapping[str, Reply], *, corpora: bool = False
) -> Rescored:
    changed: list[tuple[Record, Record]] = []
    skipped: Counter[str] = Counter()
    count: Counter[bool] = Counter()
    scorers = _Scorers(manifests)
    for record in store.records:
        stored = replies.get(record.id)
        if record.status in ("failed", "infeasible") and stored is None:
            continue  # no reply, no score
        scorer = scorers.of(record)
        if isinstance(scorer, str):
            skipped[scorer] += 1
            continue
        count[stored is not None] += 1
        sample, score = scorer
        asked = {"target": sample.target, "choices": sample.choices, "references": sample.right_texts}
        outcome = score(record, stored)
        right = record.model_copy(
            update={
                "status": outcome.status,
                "scores": outcome.scores,
                "prediction": outcome.prediction,
                # Ranked scoring names ties; the record alone does not tell the likelihoods.
                "explanation": outcome.explanation or (record.explanation if outcome.status == record.status else ""),
                **asked,
                # What the record holds of the reply is compared with the stored one, and otherwise stays.
                "reply": outcome.reply if stored is not None else record.reply,
            }
        )
        if not _same(record, right):
            changed.append((record, right))
    lines = _corpus_lines(store) if corpora and not changed else ()
    return Rescored(tuple(changed), tuple(lines), count[True], count[False], skipped)


Scorer = tuple[Sample, Callable[[Record, Reply | None], Outcome]]


class _Scorers:
    """The scorer of each record, tasks and samples looked up once."""

    def __init__(self, manifests: Mapping[str, Samples]) -> None:
        self._manifests = manifests
        self._samples: dict[tuple[str, str], dict[str, Sample]] = {}
        self._tasks: dict[tuple[str, str, str], Task | str] = {}

    def of(self, record: Record) -> Scorer | str:
        """The sample and what scores its replies, or why there is none."""
        if record.task not in self._manifests:
            return f"{record.task} has no manifest of this run here, or does not score single replies"
        task = self._task(record)
        if isinstance(task, str):
            return task
        sample = self._of_setting(record).get(record.sample_id)
        if sample is None or sample.fingerprint != record.sample_fingerprint:
            return f"the manifest of {record.task} lacks the sample"
        assert isinstance(task, ScoresReplies)
        scorer = task

        def score(record: Record, stored: Reply | None) -> Outcome:
            reply = stored or _own_reply(record)
            if reply is None:
                return Outcome(status="failed", explanation="the record holds no reply that its score could be of")
            return scorer.score(sample, reply)

        return sample, score

    def _task(self, record: Record) -> Task | str:
        key = record.task, record.prompt_style, record.scoring
        if key not in self._tasks:
            try:
                task = open_task(record.task).configured(
                    prompt_style=cast(Style, record.prompt_style), scoring=record.scoring
                )
                self._tasks[key] = task if isinstance(task, ScoresReplies) else "its task scores no single replies"
            except TaskError as error:
                self._tasks[key] = str(error)
        return self._tasks[key]

    def _of_setting(self, record: Record) -> dict[str, Sample]:
        key = record.task, record.setting
        if key not in self._samples:
            samples = self._manifests[record.task]
            there = samples.of(record.setting) if record.setting in samples.settings else ()
            self._samples[key] = {sample.id: sample for sample in there}
        return self._samples[key]


def _own_reply(record: Record) -> Reply | None:
    """The reply that a record holds; of ranked scoring the class that won, of which the likelihoods are not kept."""
    if record.reply is None:
        return None
    if record.scoring in RULES and RULES[record.scoring].asks == "likelihood":
        if record.reply not in record.choices:
            return None
        return Likelihoods(values=tuple(0.0 if name == record.reply else -1.0 for name in record.choices))
    return Completion(choices=(Choice(text=record.reply, finish="stop"),))


def _same(recorded: Record, right: Record) -> bool:
    return (
        all(getattr(recorded, name) == getattr(right, name) for name in COMPARED if name != "scores")
        and recorded.scores.keys() == right.scores.keys()
        and all(abs(recorded.scores[name] - right.scores[name]) <= TOLERANCE for name in right.scores)
    )


def _stored_replies(store: RunStore, sources: Sequence[ReplySource]) -> dict[str, Reply]:
    """Record id -> the stored reply to its request; without records of several requests or of none."""
    calls = {call.record: call for call in store.calls}
    asked: dict[Identity, list[tuple[str, Request]]] = {}
    for record in store.records:
        call = calls.get(record.id)
        if call is not None and call.request is not None and "keys" not in call.request:
            identity, request = request_of(record, call)
            asked.setdefault(identity, []).append((record.id, request))
    found: dict[str, Reply] = {}
    for identity, of_model in asked.items():
        backend = CachedBackend(_no_model, identity, sources=sources, mode="cache-only")
        try:
            for place, answer in backend.ask_each([request for _, request in of_model]):
                if answer.reply is not None:
                    found[of_model[place][0]] = answer.reply
        except CacheMiss:
            pass  # every stored reply came before it
    return found


def _no_model() -> Backend:
    raise BackendUnavailable("scores are computed again from stored replies: no model is opened")


def _corpus_lines(store: RunStore) -> Iterator[str]:
    """Metrics of whole corpora in metrics.json that are not those of the records."""
    held = load_corpus(store.folder, store.records, store.facts)
    if held is None:
        return
    tasks: dict[str, CorpusScored] = {}
    for name in dict.fromkeys(cell.task for cell in held.cells):
        try:
            task = open_task(name)
        except TaskError:
            continue
        if isinstance(task, CorpusScored):
            tasks[name] = task
    now = score_tasks(tasks, store.records, lambda line: None)
    right = {(cell.row, cell.setting, cell.metric): cell.value for cell in now.cells}
    for cell in held.cells:
        value = right.get((cell.row, cell.setting, cell.metric))
        # A metric that this machine cannot compute (a Java program) is left as it is.
        if value is not None and (cell.value is None or abs(cell.value - value) > TOLERANCE):
            yield f"{cell.metric} of {cell.name} {cell.layers}, {cell.setting}: {cell.value} instead of {value}"
