"""Metrics of all replies of a cell together, such as BLEU, kept as `metrics.json`.

A record holds the scores of one sample. A metric that is not a mean of those is computed by the task when the run ends,
from the records' predictions and references, and kept with a hash of them: a report uses it while the hash holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from results.analysis.aggregate import NO_FACTS, Cell, Row, by_row, check_cell
from results.analysis.statistics import bootstrap_mean_of_rows
from results.errors import RecordError, first_fault
from results.jsonl import path_inside, read_file, write_text
from results.record import Record
from results.run_facts import RunFacts
from results.store import METRICS
from spae.canonical import Frozen, sha256_json


class Missing(Frozen):
    """A metric that could not be computed on this machine."""

    task: str
    metric: str
    reason: str = Field(description="why, and how to make it available")


class SampleValues(Frozen):
    """The samples' values of a corpus metric that is a mean over samples, for paired tests."""

    row: Row
    setting: str
    metric: str
    values: dict[str, float] = Field(description="by sample")


class CorpusMetrics(Frozen):
    """The corpus metrics of a run."""

    records: str = Field(description="`digest` of the records that they were computed from")
    cells: tuple[Cell, ...] = Field(description="one for each metric of each row and setting, in the order of columns")
    missing: tuple[Missing, ...] = ()
    samples: tuple[SampleValues, ...] = Field(default=(), description="of those metrics that are means over samples")


class Corpus(Frozen):
    """The scored records of one row and setting.

    `samples`, `predictions` and `references` are one for each, in the order of the samples.
    """

    row: Row
    setting: str
    metrics: tuple[str, ...] = Field(description="names of the records' own scores")
    samples: tuple[str, ...]
    predictions: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]


def corpora(records: Iterable[Record], task: str) -> list[Corpus]:
    """The input of a task's corpus metrics, rows in table order, without rows of which nothing is scored.

    A record without references has its target as the only one.
    """
    found = []
    for row, settings in by_row(record for record in records if record.task == task).items():
        for setting, group in settings.items():
            scored = [record for record in group if record.status == "scored"]
            if scored:
                found.append(
                    Corpus(
                        row=row,
                        setting=setting,
                        metrics=tuple(scored[0].scores),
                        samples=tuple(record.sample_id for record in scored),
                        predictions=tuple(record.prediction or "" for record in scored),
                        references=tuple(record.references or (record.target,) for record in scored),
                    )
                )
    return found


def corpus_cell(corpus: Corpus, metric: str, value: float | None, per_sample: Sequence[float] | None) -> Cell:
    """The cell of one metric; with an interval (bootstrap) where it is a mean over samples."""
    interval = None if not per_sample else bootstrap_mean_of_rows([per_sample])
    count = len(corpus.predictions)
    return Cell(
        **corpus.row.model_dump(),
        setting=corpus.setting,
        n=count,
        scored=count,
        failed=0,
        infeasible=0,
        empty=0,
        refused=0,
        cached=0,
        metric=metric,
        value=value,
        ci_low=interval.low if interval else None,
        ci_high=interval.high if interval else None,
    )


def sample_values(corpus: Corpus, metric: str, per_sample: Sequence[float]) -> SampleValues:
    """The values of one metric by sample."""
    values = dict(zip(corpus.samples, per_sample, strict=True))
    return SampleValues(row=corpus.row, setting=corpus.setting, metric=metric, values=values)


def digest(records: Iterable[Record]) -> str:
    """sha256 over what the metrics depend on: each record's id, status and prediction."""
    return sha256_json(sorted([record.id, record.status, record.prediction] for record in records))


def save_corpus(folder: Path, metrics: CorpusMetrics) -> Path:
    """Writes `metrics.json`, atomically."""
    return write_text(folder, METRICS, metrics.model_dump_json() + "\n")


def load_corpus(folder: Path, records: Iterable[Record], facts: RunFacts = NO_FACTS) -> CorpusMetrics | None:
    """Reads `metrics.json`; None if there is none, or if it was computed from other records.

    Raises:
        RecordError: the file is broken, or holds a value that its metric cannot have.
    """
    path = path_inside(folder, METRICS)
    if not path.exists():
        return None
    try:
        metrics = CorpusMetrics.model_validate_json(read_file(folder, METRICS))
    except ValidationError as error:
        raise RecordError(f"{path} holds no metrics ({first_fault(error)}): give the run command again") from error
    for cell in metrics.cells:
        check_cell(cell, facts, str(path))
    for one in metrics.samples:
        for value in one.values.values():
            facts.check(one.row.task, {one.metric: value}, str(path))
    return metrics if metrics.records == digest(records) else None
