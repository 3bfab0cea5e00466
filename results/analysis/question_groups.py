"""Scores by question type (what, how many, which colour), beside a baseline that sees no image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import Field

from results.analysis.aggregate import NO_FACTS, Row
from results.analysis.settings import in_words, setting_order
from results.display import number
from results.record import Record
from results.run_facts import RunFacts
from spae.canonical import Frozen


class QuestionGroup(Frozen):
    """The samples of one setting that ask for the same kind of thing."""

    task: str
    data: str = Field(description="name of the image set, as in the records")
    setting: str
    question_type: str = Field(description="what is asked for: 'colour'")
    samples: tuple[str, ...] = Field(min_length=1, description="ids")
    text_only: float = Field(
        ge=0, le=1, description="text-only baseline: share that the commonest answer to the type gets right"
    )


@dataclass(frozen=True)
class QuestionEntry:
    """One number: per cent right of the scored ones, None where none is scored."""

    value: float | None
    scored: int

    @property
    def text(self) -> str:
        """'52.0 (50)': the value and how many it is of."""
        return "n/s" if self.value is None else f"{number(self.value)} ({self.scored})"


@dataclass(frozen=True)
class QuestionTable:
    """Rows of one task on one image set, a column for each question type; all settings together."""

    task: str
    data: str
    types: tuple[str, ...]
    text_only: tuple[float, ...]
    rows: tuple[tuple[Row, tuple[QuestionEntry, ...]], ...]


def question_tables(
    records: Iterable[Record], groups: Sequence[QuestionGroup], facts: RunFacts = NO_FACTS
) -> list[QuestionTable]:
    """A table for each task and image set with two question types or more, rows in table order."""
    type_of = {(g.task, g.data, g.setting, sample): g.question_type for g in groups for sample in g.samples}
    values: dict[tuple[str, str], dict[Row, dict[str, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for record in records:
        question_type = type_of.get((record.task, record.data, record.setting, record.sample_id))
        if question_type is not None:
            of_row = values[record.task, record.data][Row.of(record)][question_type]
            if record.scores:
                of_row.append(record.scores[facts.primary(record.task) or min(record.scores)])
    tables = []
    for (task, data), rows in values.items():
        shares = _text_only([group for group in groups if (group.task, group.data) == (task, data)])
        if len(shares) > 1:
            types = tuple(shares)
            ordered = sorted(rows, key=lambda row: row.order(facts))
            made = tuple((row, tuple(_entry(rows[row][one]) for one in types)) for row in ordered)
            tables.append(QuestionTable(task, data, types, tuple(100 * shares[one] for one in types), made))
    return tables


def text_only_note(groups: Sequence[QuestionGroup]) -> str:
    """The text-only baseline by setting, for a line under a table; '' where there are no groups."""
    by_setting: dict[str, list[QuestionGroup]] = defaultdict(list)
    for group in groups:
        by_setting[group.setting].append(group)
    parts = []
    for setting in sorted(by_setting, key=setting_order):
        count = sum(len(group.samples) for group in by_setting[setting])
        share = sum(group.text_only * len(group.samples) for group in by_setting[setting]) / count
        parts.append(f"{number(100 * share)} ({in_words(setting)})")
    note = "Text-only baseline, the commonest answer to each question type without image or examples, in per cent"
    return f"{note}: {', '.join(parts)}." if parts else ""


def _text_only(groups: Sequence[QuestionGroup]) -> dict[str, float]:
    """Question type -> share, over all settings; in order of name."""
    counts: dict[str, int] = defaultdict(int)
    right: dict[str, float] = defaultdict(float)
    for group in groups:
        counts[group.question_type] += len(group.samples)
        right[group.question_type] += group.text_only * len(group.samples)
    return {one: right[one] / counts[one] for one in sorted(counts)}


def _entry(values: Sequence[float]) -> QuestionEntry:
    return QuestionEntry(100 * sum(values) / len(values) if values else None, len(values))
