"""Metrics of all replies of a cell together, such as BLEU: what the run worked out, kept as `metrics.json`.

A record holds one sample's score. What is no mean of those is worked out by the task when the run ends, from the
records' predictions and references, and kept with a hash of them: a report uses it while the records are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from results.analysis.aggregate import Cell, Row, by_row
from results.analysis.statistics import bootstrap_mean_of_rows
from results.errors import RecordError, first_fault
from results.jsonl import path_inside, write_text
from results.record import Record
from results.store import METRICS
from spae.canonical import Frozen, sha256_json


class Missing(Frozen):
    """A metric that could not be worked out on this machine."""

    task: str
    metric: str
    reason: str = Field(description="why, and what would bring it")


class SampleValues(Frozen):
    """A further metric that is a mean over samples: theirs, for paired tests."""

    row: Row
    setting: str
    metric: str
    values: dict[str, float] = Field(description="by sample")


class CorpusBook(Frozen):
    """The further metrics of a run."""

    records: str = Field(description="`digest` of the records they are of")
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
    """What a task's metrics are to be worked out of, rows in table order; rows of which nothing is scored left out.

    Where a record has no references, its answer is the one.
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
    """sha256 over what the metrics follow from: each record's id, status and prediction."""
    return sha256_json(sorted([record.id, record.status, record.prediction] for record in records))


def save_corpus(folder: Path, book: CorpusBook) -> Path:
    """Writes `metrics.json`, atomically."""
    return write_text(folder, METRICS, book.model_dump_json() + "\n")


def load_corpus(folder: Path, records: Iterable[Record]) -> CorpusBook | None:
    """Reads `metrics.json`; None where there is none, or where it is of other records than these.

    Raises:
        RecordError: the file is broken.
    """
    path = path_inside(folder, METRICS)
    if not path.exists():
        return None
    try:
        book = CorpusBook.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RecordError(f"{path} holds no metrics ({first_fault(error)}): give the run command again") from error
    return book if book.records == digest(records) else None
