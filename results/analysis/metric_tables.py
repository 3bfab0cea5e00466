"""The table of a task with several metrics: metrics are columns, tokenizers and layers rows.

Laid out as a `ResultTable`, so that everything that writes one writes this one too. A table is of one task, image set
and setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from results.analysis.aggregate import NO_FACTS, Cell, Row
from results.analysis.best import BestMarks
from results.analysis.corpus import CorpusMetrics
from results.analysis.settings import AVERAGE, in_words
from results.analysis.tables import (
    BEST,
    STRICT,
    UNSCORED,
    Entry,
    ResultTable,
    RowGroup,
    TableRow,
    TokenCounts,
    entry_of,
    run_row,
)
from results.display import PERCENT, unit_text
from results.run_facts import RunFacts

INTERVALS = (
    "Values are of the scored samples, with 95 % intervals (bootstrap over samples; Wilson for proportions) where a "
    "metric is a mean over samples; one of all replies together has none."
)
PARTIAL = "†: not every sample could be scored; see the counts."


def metric_tables(
    cells: Sequence[Cell],
    corpus: CorpusMetrics | None,
    tokens: TokenCounts,
    facts: RunFacts = NO_FACTS,
    marks: BestMarks | None = None,
) -> list[ResultTable]:
    """One table for each task, image set and setting with more than one metric.

    Args:
        cells: from `aggregate`.
        corpus: metrics of whole corpora, where the run has some; for a metric in both, `cells` count.
        tokens: tokens per image, where known.
        facts: of the run.
        marks: finds the best numbers; None marks none.
    """
    further = {(cell.row, cell.setting, cell.metric): cell for cell in corpus.cells} if corpus else {}
    places: dict[tuple[str, str, str], dict[Row, dict[str, Cell]]] = {}
    for cell in cells:
        if cell.setting != AVERAGE:
            place = places.setdefault((cell.task, cell.data, cell.setting), {})
            place.setdefault(cell.row, {})[cell.metric] = cell
    for (row, setting, metric), cell in further.items():
        if row in places.get((row.task, row.data, setting), {}):
            places[row.task, row.data, setting][row].setdefault(metric, cell)
    return [
        _table(place, rows, corpus, tokens, facts, marks)
        for place, rows in places.items()
        if len({metric for own in rows.values() for metric in own}) > 1
    ]


def _table(
    place: tuple[str, str, str],
    rows: Mapping[Row, Mapping[str, Cell]],
    corpus: CorpusMetrics | None,
    tokens: TokenCounts,
    facts: RunFacts,
    marks: BestMarks | None,
) -> ResultTable:
    task, data, setting = place
    names = list(dict.fromkeys(metric for own in rows.values() for metric in own))
    names = facts.order(task, names) if any(facts.describes(task, name) for name in names) else names
    metrics = [facts.metric(task, name) for name in names]
    best = marks.among(cell for own in rows.values() for cell in own.values()) if marks is not None else set()
    made = []
    for row, own in rows.items():
        counts = next(iter(own.values()))  # of the records themselves: a corpus metric counts its scored ones only
        entries = []
        for metric in metrics:
            cell = own.get(metric.name)
            if counts.value is None:
                entries.append(entry_of(counts, metric, False))
            elif cell is None or cell.value is None:
                entries.append(Entry(state="unavailable"))
            else:
                entry = entry_of(cell, metric, (row, setting, metric.name) in best)
                entries.append(entry.model_copy(update={"partial": counts.scored < counts.n}))
        made.append(run_row(row, tokens, entries))
    heads = tuple(metric.name if metric.higher_is_better else f"{metric.name} ↓" for metric in metrics)
    units = {metric.unit for metric in metrics}
    return ResultTable(
        task=task,
        data=data,
        metric=f"{', '.join(names)}, {in_words(setting)}" + ("," if units == {PERCENT} else ""),
        settings=tuple(names),
        heads=(("Metric", heads),),
        groups=(RowGroup(source="run", caption="This run", rows=tuple(made)),),
        footnotes=_notes(task, made, corpus, facts, names),
        unit="in per cent" if units == {PERCENT} else "",
        axis=None,
    )


def _notes(
    task: str, rows: Sequence[TableRow], corpus: CorpusMetrics | None, facts: RunFacts, names: Sequence[str]
) -> tuple[str, ...]:
    entries = [entry for row in rows for entry in row.entries]
    states = {entry.state for entry in entries}
    metrics = [facts.metric(task, name) for name in names]
    notes = [INTERVALS, BEST] if len(rows) > 1 else [INTERVALS]
    if {metric.unit for metric in metrics} != {PERCENT}:
        units: dict[str, list[str]] = {}
        for metric in metrics:
            units.setdefault(unit_text(metric).removeprefix("in ") or "no unit", []).append(metric.name)
        notes.append("Units: " + "; ".join(f"{unit} ({', '.join(of)})" for unit, of in units.items()) + ".")
    notes += ["↓: lower is better."] if not all(metric.higher_is_better for metric in metrics) else []
    notes += [f"n/a, {one.metric}: {one.reason}." for one in (corpus.missing if corpus else ()) if one.task == task]
    notes += ["-: the prompts do not fit the model's context."] if "infeasible" in states else []
    notes += [UNSCORED] if "unscored" in states else []
    notes += [PARTIAL] if any(entry.partial for entry in entries) else []
    notes += [STRICT] if any(entry.strict is not None for entry in entries) else []
    return tuple(notes)
