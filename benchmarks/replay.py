"""A run made again from a file of replies alone: what the present code asks, and what it makes of the answers.

No model is opened and no other store is looked into; what the file lacks stays unanswered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.plan import Plan
from benchmarks.questions import Question, Request, questions, record_of
from benchmarks.scorer_cases import probe
from llm_backends.cache.cached_backend import Answer, CachedBackend
from llm_backends.cache.entry import Entry, part_json
from llm_backends.cache.jsonl import ReadOnlySource
from llm_backends.cache.request_key import key_of, key_texts, prompt_of
from llm_backends.errors import BackendUnavailable, CacheCorrupt, PromptTooLong
from llm_backends.protocol import Backend, Identity
from results.analysis.aggregate import aggregate
from results.record import Record
from results.regression.baseline import Baseline, BaselineFacts, ManifestFact, QuestionLine, ScorerFact, TokenizerFact
from results.regression.drift import Replayed

UNANSWERED = "unanswered"


@dataclass(frozen=True)
class Replies:
    """A file of replies, read whole.

    Attributes:
        digests: key of a request's first sample -> sha256 over all of its reply.
        asked: the same key -> the request as text.
        broken: key -> why its line cannot be used.
    """

    layer: ReadOnlySource
    digests: Mapping[str, str]
    asked: Mapping[str, str]
    broken: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Replies:
        """Raises BackendInputError, CacheCorrupt: the file as a whole is none of replies."""
        layer = ReadOnlySource(path)
        entries: dict[str, Entry] = {}
        broken = {}
        for key in layer.keys():  # noqa: SIM118 (a method of the layer, it is no mapping)
            try:
                entry = layer.entry(key)
            except CacheCorrupt as error:
                broken[key] = str(error.__cause__ or error)
                continue
            if entry is not None:
                entries[key] = entry
        digests, asked = {}, {}
        for entry in entries.values():
            if entry.sample != 0:
                continue
            keys = request_keys(entry.identity, entry.request)
            asked[entry.key] = request_text(entry.request)
            if all(key in entries for key in keys):
                parts = "\n".join(part_json(entries[key].part) for key in keys)
                digests[entry.key] = hashlib.sha256(parts.encode()).hexdigest()
        return cls(layer, digests, asked, broken)


def request_keys(llm: Identity, request: Request) -> list[str]:
    """The keys of a request's reply: one for each sample, or the one of its log-likelihoods."""
    return [key_of(text) for text in key_texts(llm, request)]


def request_text(request: Request) -> str:
    """A request to be read and compared line by line: its prompt, then a line for each parameter."""
    fields = request.model_dump(mode="json", exclude={"prompt", "context"})
    lines = [f"[{name}: {json.dumps(value, ensure_ascii=False)}]" for name, value in sorted(fields.items())]
    return "\n".join([prompt_of(request), *lines])


def place_of(question: Question) -> tuple[str, ...]:
    """As `QuestionLine.place`."""
    cell = question.cell
    return (cell.task, cell.setting, question.sample.id, cell.tokenizer, cell.layers, cell.scoring)


def replay(
    plan: Plan,
    llm: Identity,
    context_length: int | None,
    replies: Replies,
    infeasible: Mapping[tuple[str, ...], tuple[str, str]],
) -> tuple[Replayed, list[Record]]:
    """Asks a plan's questions of a file of replies.

    Args:
        plan: what to ask.
        llm: the model that gave the replies.
        context_length: of that model.
        replies: the file.
        infeasible: by place, the key and the record's detail of questions known to be too long for the model. Those
            that are asked as they were stay so: only the model's own tokenizer could count them anew.

    Returns what there is now, and the records of the questions that have an answer.
    """
    backend = CachedBackend(_no_model, llm, sources=[replies.layer], mode="cache-only")
    lines: list[QuestionLine] = []
    records: list[Record] = []
    asked = dict(replies.asked)
    for question in questions(plan, llm):
        key = request_keys(llm, question.request)[0]
        asked.setdefault(key, request_text(question.request))
        known_key, detail = infeasible.get(place_of(question), ("", ""))
        record = None
        if known_key == key:
            record = record_of(question, Answer(None, cached=True, error=PromptTooLong(detail)))
        elif key in replies.digests:
            (answer,) = backend.ask([question.request])
            record = record_of(question, answer)
        if record is not None:
            records.append(record)
        lines.append(_line(question, key, replies.digests.get(key), record))
    baseline = Baseline(_facts(plan, llm, context_length), tuple(aggregate(records)), tuple(lines))
    return Replayed(baseline, asked, replies.digests, replies.broken), records


def _line(question: Question, key: str, reply: str | None, record: Record | None) -> QuestionLine:
    cell = question.cell
    return QuestionLine(
        task=cell.task,
        setting=cell.setting,
        sample=question.sample.id,
        tokenizer=cell.tokenizer,
        layers=cell.layers,
        scoring=cell.scoring,
        request=key,
        prompt=hashlib.sha256(prompt_of(question.request).encode("utf-8", "surrogatepass")).hexdigest(),
        reply=reply,
        status=UNANSWERED if record is None else record.status,
        value=None if record is None else record.value,
        prediction=None if record is None else record.prediction,
        detail="" if record is None else record.detail,
    )


def _facts(plan: Plan, llm: Identity, context_length: int | None) -> BaselineFacts:
    manifests = []
    scorers = []
    for job in plan.jobs:
        samples = job.samples
        manifests.append(
            ManifestFact(
                task=job.task.name,
                data=samples.data,
                data_sha256=samples.data_fingerprint,
                seed=samples.seed,
                settings=samples.settings,
                samples=sum(len(samples.of(setting)) for setting in samples.settings),
                sha256=samples.fingerprint,
            )
        )
        sample = samples.of(samples.settings[0])[0]
        for scoring in plan.config.scorings:
            outcomes = probe(job.task, sample, plan.config.style, scoring)
            scorers.append(ScorerFact(task=job.task.name, scoring=scoring, outcomes=outcomes))
    tokenizers = {view.tokenizer.name: view.tokenizer.fingerprint for view in plan.views}
    return BaselineFacts(
        config=plan.config.plain(),
        llm=llm.model_dump(mode="json"),
        context_length=context_length,
        manifests=tuple(manifests),
        tokenizers=tuple(TokenizerFact(name=name, sha256=digest) for name, digest in sorted(tokenizers.items())),
        scorers=tuple(scorers),
    )


def _no_model() -> Backend:
    raise BackendUnavailable("a baseline is replayed from its own replies: no model is opened")
