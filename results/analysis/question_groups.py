"""Accuracy by what is asked for (what, how many, which colour), beside what is right without seeing an image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import Field

from results.analysis.aggregate import Row
from results.analysis.settings import in_words, setting_order
from results.record import Record
from results.report.display import percent
from spae.canonical import Frozen


class QuestionGroup(Frozen):
    """The samples of one setting that ask for the same kind of thing."""

    task: str
    data: str = Field(description="name of the picture set, as in the records")
    setting: str
    kind: str = Field(description="what is asked for: 'colour'")
    samples: tuple[str, ...] = Field(min_length=1, description="ids")
    blind: float = Field(
        ge=0, le=1, description="share that the commonest answer to each kind, said unseeing, gets right"
    )


@dataclass(frozen=True)
class KindEntry:
    """One number: per cent right of the scored ones, None where none is scored."""

    value: float | None
    scored: int

    @property
    def text(self) -> str:
        """'52.0 (50)': the value and how many it is of."""
        return "n/s" if self.value is None else f"{percent(self.value)} ({self.scored})"


@dataclass(frozen=True)
class KindTable:
    """Rows of one task on one image set, a column for each kind; all settings together."""

    task: str
    data: str
    kinds: tuple[str, ...]
    blind: tuple[float, ...]
    rows: tuple[tuple[Row, tuple[KindEntry, ...]], ...]


def kind_tables(records: Iterable[Record], groups: Sequence[QuestionGroup]) -> list[KindTable]:
    """A table for each task and image set of which two kinds or more were asked, rows in table order."""
    kind_of = {(g.task, g.data, g.setting, sample): g.kind for g in groups for sample in g.samples}
    values: dict[tuple[str, str], dict[Row, dict[str, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for record in records:
        kind = kind_of.get((record.task, record.data, record.setting, record.sample_id))
        if kind is not None:
            of_row = values[record.task, record.data][Row.of(record)][kind]
            of_row.extend(record.scores.values())
    tables = []
    for (task, data), rows in values.items():
        shares = _blind([group for group in groups if (group.task, group.data) == (task, data)])
        if len(shares) > 1:
            kinds = tuple(shares)
            made = tuple((row, tuple(_entry(rows[row][kind]) for kind in kinds)) for row in sorted(rows, key=Row.order))
            tables.append(KindTable(task, data, kinds, tuple(100 * shares[kind] for kind in kinds), made))
    return tables


def blind_note(groups: Sequence[QuestionGroup]) -> str:
    """What is right without seeing, by setting, for a line under a table; '' where there are no groups."""
    by_setting: dict[str, list[QuestionGroup]] = defaultdict(list)
    for group in groups:
        by_setting[group.setting].append(group)
    parts = []
    for setting in sorted(by_setting, key=setting_order):
        count = sum(len(group.samples) for group in by_setting[setting])
        share = sum(group.blind * len(group.samples) for group in by_setting[setting]) / count
        parts.append(f"{percent(100 * share)} ({in_words(setting)})")
    said = "Said without seeing image or examples, the commonest answer to each kind of question is right in per cent"
    return f"{said}: {', '.join(parts)}." if parts else ""


def _blind(groups: Sequence[QuestionGroup]) -> dict[str, float]:
    """Kind -> share, over all settings; in order of name."""
    counts: dict[str, int] = defaultdict(int)
    right: dict[str, float] = defaultdict(float)
    for group in groups:
        counts[group.kind] += len(group.samples)
        right[group.kind] += group.blind * len(group.samples)
    return {kind: right[kind] / counts[kind] for kind in sorted(counts)}


def _entry(values: Sequence[float]) -> KindEntry:
    return KindEntry(100 * sum(values) / len(values) if values else None, len(values))
