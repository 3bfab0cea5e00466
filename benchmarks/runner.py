"""The main path: samples to words, words to prompts, prompts to replies, replies to records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.pictures import PictureWords
from benchmarks.plan import Job, Plan, View
from llm_backends.cached import Answer, CachedBackend
from llm_backends.errors import CallFailed, PromptTooLong
from llm_backends.protocol import Completion, CompletionRequest, LikelihoodRequest
from llm_backends.request_key import prompt_of
from results.record import Call, CellKey, Record
from results.store import RunStore
from tasks.protocol import Outcome, Sample, Task

Request = CompletionRequest | LikelihoodRequest
# Answers are stored on disk this often (in questions); a killed run loses at most so many.
BLOCK = 64


@dataclass(frozen=True)
class Question:
    """One sample, to be asked and scored under one cell."""

    cell: CellKey
    sample: Sample
    request: Request


@dataclass(frozen=True)
class Runner:
    """Fills a store with the records of a plan.

    Args:
        plan: what to ask.
        backend: whom to ask.
        store: what is there already is not asked again.
        progress: told of each batch of records made or found (their number).
    """

    plan: Plan
    backend: CachedBackend
    store: RunStore
    progress: Callable[[int], None] = lambda count: None

    def run(self) -> None:
        """Ask what is missing. Whatever stops it, the records made so far are on disk."""
        for job in self.plan.jobs:
            for view in self.plan.views:
                words = PictureWords(job, view)
                for questions in _blocks(self._questions(job, view, words), BLOCK):
                    self._answer(job.task, questions)

    def _questions(self, job: Job, view: View, words: PictureWords) -> Iterator[Question]:
        """Episode by episode, so that prompts with a common beginning follow each other; kinds of request apart."""
        settings = job.samples.settings
        cells = {
            (setting, scoring): self.plan.cell(job, view, setting, scoring, self.backend.identity)
            for setting in settings
            for scoring in self.plan.config.scorings
        }
        words.add(
            [
                name
                for (setting, _), cell in cells.items()
                for sample in job.samples.of(setting)
                if cell.record_id(sample.id) not in self.store
                for name in sample.pictures
            ]
        )
        for samples in zip(*(job.samples.of(setting) for setting in settings), strict=True):
            for scoring in self.plan.config.scorings:
                for sample in samples:
                    cell = cells[sample.setting, scoring]
                    if cell.record_id(sample.id) in self.store:
                        self.progress(1)
                        continue
                    request = job.task.request(sample, words.texts, self.plan.config.style, scoring)
                    yield Question(cell, sample, request)

    def _answer(self, task: Task, questions: list[Question]) -> None:
        started = time.perf_counter()
        answers = self.backend.ask([question.request for question in questions])
        seconds = (time.perf_counter() - started) / len(questions)
        records = [_record(task, question, answer) for question, answer in zip(questions, answers, strict=True)]
        calls = [
            Call(record=record.id, cached=answer.cached, seconds=seconds)
            for record, answer in zip(records, answers, strict=True)
        ]
        self.store.append(records, calls)
        self.progress(len(records))


def _record(task: Task, question: Question, answer: Answer) -> Record:
    request, sample = question.request, question.sample
    if answer.reply is not None:
        outcome = task.score(sample, request, answer.reply, question.cell.scoring)
    elif isinstance(answer.error, PromptTooLong):
        outcome = Outcome(status="infeasible", detail=str(answer.error))
    else:
        outcome = Outcome(status="failed", detail=str(answer.error or CallFailed("no reply and no error")))
    text = answer.reply.text if isinstance(answer.reply, Completion) else outcome.reply
    return Record.of(
        question.cell,
        sample=sample.id,
        sample_fingerprint=sample.fingerprint,
        prompt=prompt_of(request),
        answer=sample.answer,
        reply=text,
        prediction=outcome.prediction,
        status=outcome.status,
        value=outcome.value,
        choices=tuple(getattr(sample, "classes", ())),
        detail=outcome.detail or "",
    )


def _blocks(questions: Iterator[Question], size: int) -> Iterator[list[Question]]:
    block: list[Question] = []
    for question in questions:
        block.append(question)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
