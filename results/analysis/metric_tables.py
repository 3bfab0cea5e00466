"""The table of a task with several metrics, captions above all: metrics are columns, tokenizers and layers rows.

Laid out as a `ResultTable`, so that everything that writes one writes this one too. A table is of one task, image set
and setting; its first column is the metric of the records, unless that is one of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from results.analysis.aggregate import Cell, Row
from results.analysis.corpus import CorpusBook
from results.analysis.settings import AVERAGE, in_words
from results.analysis.tables import Entry, ResultTable, RowGroup, TableRow, run_row

INTERVALS = (
    "Values are times 100, of the scored samples, with 95 % intervals (bootstrap over samples; Wilson for accuracy) "
    "where a metric is a mean over samples; one of all replies together has none. Best of each column in bold, among "
    "rows of the same model, prompt and scoring."
)
PARTIAL = "†: not every sample could be scored; see the counts."
UNSCORED = "n/s: no reply could be scored."


def metric_tables(cells: Sequence[Cell], book: CorpusBook, tokens: Mapping[tuple[str, str], int]) -> list[ResultTable]:
    """One table for each task, image set and setting that the book has metrics of.

    Args:
        cells: from `aggregate`: the records' own metric, and the counts.
        book: the further metrics.
        tokens: tokens per image by (tokenizer, layers).
    """
    further: dict[tuple[Row, str], dict[str, Cell]] = {}
    for cell in book.cells:
        further.setdefault((cell.row, cell.setting), {})[cell.metric] = cell
    places: dict[tuple[str, str, str], list[Cell]] = {}
    tasks = {cell.task for cell in book.cells}
    for cell in cells:
        if cell.task in tasks and cell.setting != AVERAGE:
            places.setdefault((cell.task, cell.data, cell.setting), []).append(cell)
    return [_table(place, own, further, book, tokens) for place, own in places.items()]


def _table(
    place: tuple[str, str, str],
    own: Sequence[Cell],
    further: Mapping[tuple[Row, str], Mapping[str, Cell]],
    book: CorpusBook,
    tokens: Mapping[tuple[str, str], int],
) -> ResultTable:
    task, data, setting = place
    there = [name for cell in own for name in further.get((cell.row, setting), {})]
    names = tuple(dict.fromkeys([*([] if own[0].metric in there else [own[0].metric]), *there]))
    values = {
        (cell.row, name): (cell if name == cell.metric else further.get((cell.row, setting), {}).get(name))
        for cell in own
        for name in names
    }
    rows = tuple(
        run_row(
            cell.row, tokens, [_entry(cell, values[cell.row, name], _best(cell, name, own, values)) for name in names]
        )
        for cell in own
    )
    return ResultTable(
        task=task,
        data=data,
        metric=f"{', '.join(names)}, {in_words(setting)},",
        settings=names,
        heads=(("Metric", names),),
        groups=(RowGroup(source="run", caption="This run", rows=rows),),
        footnotes=_notes(task, rows, book),
        unit="times 100",
    )


def _best(cell: Cell, name: str, own: Sequence[Cell], values: Mapping[tuple[Row, str], Cell | None]) -> bool:
    """Whether no rival of one model, prompt and scoring has more; a row alone has no rival."""
    rivals = [
        values[one.row, name]
        for one in own
        if (one.model, one.prompt_style, one.scoring) == (cell.model, cell.prompt_style, cell.scoring)
    ]
    numbers = [one.value for one in rivals if one is not None and one.value is not None]
    mine = values[cell.row, name]
    return len(rivals) > 1 and mine is not None and mine.value is not None and mine.value == max(numbers)


def _entry(own: Cell, cell: Cell | None, best: bool) -> Entry:
    if own.value is None:
        return Entry(state="infeasible" if own.infeasible == own.n else "unscored")
    if cell is None or cell.value is None:
        return Entry(state="unavailable")
    return Entry(
        state="value",
        value=100 * cell.value,
        low=None if cell.ci_low is None else 100 * cell.ci_low,
        high=None if cell.ci_high is None else 100 * cell.ci_high,
        best=best,
        partial=own.scored < own.n,
    )


def _notes(task: str, rows: Sequence[TableRow], book: CorpusBook) -> tuple[str, ...]:
    entries = [entry for row in rows for entry in row.entries]
    states = {entry.state for entry in entries}
    notes = [INTERVALS]
    notes += [f"n/a, {one.metric}: {one.reason}." for one in book.missing if one.task == task]
    notes += ["-: the prompts do not fit the model's context."] if "infeasible" in states else []
    notes += [UNSCORED] if "unscored" in states else []
    notes += [PARTIAL] if any(entry.partial for entry in entries) else []
    return tuple(notes)
