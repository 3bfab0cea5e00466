"""Which number of a table may be marked as its best: one that is shown to be better than the next.

A mark says "this one wins". So it is left out where chance may have decided: below `LEAST` samples, and where the
paired bootstrap's 95 % interval of the difference from the next best row holds 0. A metric of all replies together,
which has no value by sample, has no interval and no mark. A control (shuffled images) is no winner, and neither is a
row that does not beat it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from results.analysis.aggregate import Cell, Row, aligned, by_row, sample_columns
from results.analysis.settings import AVERAGE, FEW_SHOT
from results.analysis.statistics import bootstrap_mean_of_rows
from results.record import Record
from results.run_facts import RunFacts

LEAST = 30
"""Samples that two rows share, for a winner to be named."""
Place = tuple[Row, str, str]
"""Row, setting, metric."""


class BestMarks:
    """The best numbers among cells.

    Args:
        records: of the run.
        facts: of the run.
        further: values by sample of metrics that records do not have.
    """

    def __init__(
        self, records: Iterable[Record], facts: RunFacts, further: Mapping[Place, Mapping[str, float]] | None = None
    ) -> None:
        self._facts = facts
        self._rows = by_row(records, facts)
        self._columns = sample_columns(self._rows)
        self._further = further or {}

    def among(self, cells: Iterable[Cell]) -> set[Place]:
        """The places of the best cells: at most one among the rows of a contest, by setting and metric."""
        rivals: dict[tuple[str, ...], list[Cell]] = {}
        for cell in cells:
            if cell.value is not None:
                rivals.setdefault((*cell.contest, cell.setting, cell.metric), []).append(cell)
        best = set()
        for group in rivals.values():
            higher = self._facts.metric(group[0].task, group[0].metric).higher_is_better
            ranked = sorted(group, key=lambda cell: cell.value or 0.0, reverse=higher)
            if len(ranked) > 1 and not ranked[0].shuffled and self._apart(ranked[0], ranked[1]):
                best.add((ranked[0].row, ranked[0].setting, ranked[0].metric))
        return best

    def _apart(self, first: Cell, other: Cell) -> bool:
        """Whether the samples that both have tell them apart."""
        settings = FEW_SHOT if first.setting == AVERAGE else (first.setting,)
        groups: list[dict[str, float]] = []
        for setting in settings:
            a, b = (self._values((cell.row, setting, cell.metric)) for cell in (first, other))
            groups.append({name: a[name] - b[name] for name in a if name in b})
        if min(map(len, groups)) < LEAST:
            return False
        columns = [self._columns[first.task, first.data, setting] for setting in settings]
        rows: Sequence[Sequence[float | None]] = aligned(groups, columns)
        low, high = bootstrap_mean_of_rows(rows)
        return not low <= 0 <= high

    def _values(self, place: Place) -> Mapping[str, float]:
        row, setting, metric = place
        own = {
            record.sample_id: record.scores[metric]
            for record in self._rows.get(row, {}).get(setting, ())
            if metric in record.scores
        }
        return own or self._further.get(place, {})
