"""The questions of a plan, in order, and what the answer to one leaves on record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.image_words import ImageWords
from benchmarks.plan import Plan, TaskRun, TokenizerView
from llm_backends.cache.cached_backend import Answer
from llm_backends.cache.entry import Provenance
from llm_backends.cache.request_key import prompt_of
from llm_backends.errors import CallFailed, PromptTooLong
from llm_backends.protocol import Completion, CompletionRequest, Identity, LikelihoodRequest
from results.record import CellKey, Record
from tasks.protocol import Outcome, Sample, Task

Request = CompletionRequest | LikelihoodRequest


@dataclass(frozen=True)
class Question:
    """One sample, to be asked and scored under one cell.

    Attributes:
        id: of its record.
    """

    id: str
    task: Task
    cell: CellKey
    sample: Sample
    request: Request


def questions(plan: Plan, llm: Identity, wanted: Callable[[str], bool] = lambda record_id: True) -> Iterator[Question]:
    """The questions of a plan, each put into words when it is reached.

    Episode by episode, so that prompts with a common beginning follow each other; kinds of request apart.

    Args:
        plan: what to ask.
        llm: whom.
        wanted: asked once for every record id, in the order of the plan; a question it does not want is left out,
            and no image is encoded for its sake.

    Raises:
        SpaeError: an image cannot be read.
        TaskError: a sample cannot be put into words.
    """
    for job in plan.jobs:
        for view in plan.views:
            yield from _of_view(plan, job, view, llm, wanted)


def _of_view(
    plan: Plan, job: TaskRun, view: TokenizerView, llm: Identity, wanted: Callable[[str], bool]
) -> Iterator[Question]:
    cells = {
        (setting, scoring): plan.cell(job, view, setting, scoring, llm)
        for setting in job.samples.settings
        for scoring in plan.config.scorings
    }
    open_questions = []
    for samples in zip(*(job.samples.of(setting) for setting in job.samples.settings), strict=True):
        for scoring in plan.config.scorings:
            for sample in samples:
                cell = cells[sample.setting, scoring]
                record_id = cell.record_id(sample.id)
                if wanted(record_id):
                    open_questions.append((record_id, cell, sample, scoring))
    words = ImageWords(job, view)
    words.add([name for _, _, sample, _ in open_questions for name in sample.images])
    for record_id, cell, sample, scoring in open_questions:
        request = job.task.request(sample, words.texts, plan.config.style, scoring)
        yield Question(record_id, job.task, cell, sample, request)


def origin_of(question: Question) -> Provenance:
    """What is written down beside the reply to a question."""
    cell = question.cell
    return Provenance(
        task=cell.task,
        sample=question.sample.id,
        tokenizer=cell.tokenizer,
        fingerprint=cell.tokenizer_fingerprint,
    )


def record_of(question: Question, answer: Answer) -> Record:
    """The record of a question: its reply scored, or the reason why it has none."""
    request, sample = question.request, question.sample
    if answer.reply is not None:
        outcome = question.task.score(sample, request, answer.reply, question.cell.scoring)
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
        metric=question.task.metric,
        references=tuple(getattr(sample, "references", ())),
    )
