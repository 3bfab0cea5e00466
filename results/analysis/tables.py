"""The layout of the result table, after the paper's Table 1: what stands where, and which number is best.

Settings are columns, headed by task induction, inner shots and repeats; a row is a tokenizer with its layers and
tokens, a model and a scoring rule. The paper's own rows stand below, in a group that says they are not comparable.
`results.report.table_formats` writes the same table to a console, Markdown, CSV and HTML; nothing is decided there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from results.analysis.aggregate import Cell, Row
from results.analysis.settings import AVERAGE, HEADS, columns, heads
from results.paper import PaperRow, caption, paper_rows
from results.report.display import percent
from spae.canonical import Frozen

State = Literal["value", "infeasible", "unscored", "absent", "unavailable"]
PER_CENT = "in per cent"
EMPTY = {"infeasible": "-", "unscored": "n/s", "absent": "", "unavailable": "n/a"}

FOOTNOTES = {
    "interval": "Values are per cent of the scored episodes, with 95 % intervals (Wilson; the average's by bootstrap "
    "over episodes). Best of each column in bold, among rows of the same model, prompt and scoring.",
    "infeasible": "-: the prompt does not fit the model's context (in the paper's rows: no number printed).",
    "unscored": "n/s: no reply could be scored.",
    "partial": "†: not every episode could be scored; see the counts.",
    "absent": "Empty: not run, or an average that lacks a setting.",
}


class Entry(Frozen):
    """One number of the table, in per cent."""

    state: State
    value: float | None = None
    low: float | None = None
    high: float | None = None
    best: bool = Field(default=False, description="best of its column among the rows it may be compared with")
    partial: bool = Field(default=False, description="some of its episodes were not scored")

    @property
    def value_text(self) -> str:
        """The number as printed: '52.0', with a dagger where not every episode was scored; '-' where infeasible."""
        if self.value is None:
            return EMPTY[self.state]
        return percent(self.value) + ("†" if self.partial else "")

    @property
    def interval_text(self) -> str:
        """'45.1–58.8', or nothing."""
        if self.low is None or self.high is None:
            return ""
        return f"{percent(self.low)}\N{EN DASH}{percent(self.high)}"


class TableRow(Frozen):
    """One row: what it is of, and an entry per column."""

    tokenizer: str
    layers: str = Field(description="'1-2', or '-' where there is none")
    tokens: int | None = Field(description="tokens per image, None where not known")
    llm: str
    scoring: str = Field(description="scoring rule and prompt style: 'ranked, gpt'")
    entries: tuple[Entry, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The texts left of the numbers, one per label of `LABELS`."""
        return (self.tokenizer, self.pyramid, self.llm, self.scoring)

    @property
    def pyramid(self) -> str:
        """Layers and tokens as the paper's Table 1 has them: '1-2 : 5'."""
        return self.layers if self.tokens is None else f"{self.layers} : {self.tokens}"


class RowGroup(Frozen):
    """Rows that belong together, under a caption where they have one."""

    source: Literal["run", "paper"]
    caption: str
    rows: tuple[TableRow, ...]


class ResultTable(Frozen):
    """A table of one task on one image set."""

    task: str
    data: str
    metric: str
    settings: tuple[str, ...] = Field(description="setting id of each column")
    heads: tuple[tuple[str, tuple[str, ...]], ...] = Field(description="head rows: a label, and a text per column")
    groups: tuple[RowGroup, ...]
    footnotes: tuple[str, ...]
    unit: str = Field(default=PER_CENT, description="of the numbers, as the title says it")

    @property
    def title(self) -> str:
        """One line over the table."""
        return f"{self.task} on {self.data}: {self.metric} {self.unit}"


LABELS = ("Tokenizer", "Layers : tokens", "LLM", "Scoring, prompt")


def result_tables(cells: Sequence[Cell], tokens: Mapping[tuple[str, str], int] | None = None) -> list[ResultTable]:
    """One table per task, image set and metric, in the order of the cells.

    Args:
        cells: from `aggregate`.
        tokens: tokens per image by (tokenizer, layers), as `Examples.token_counts` gives them.
    """
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.task, cell.data, cell.metric), []).append(cell)
    return [_table(task, data, metric, group, tokens or {}) for (task, data, metric), group in groups.items()]


def run_row(row: Row, tokens: Mapping[tuple[str, str], int], entries: Sequence[Entry]) -> TableRow:
    """A row of this run; `tokens` as of `result_tables`."""
    return TableRow(
        tokenizer=row.name,
        layers=row.layers,
        tokens=tokens.get((row.tokenizer, row.layers)),
        llm=row.model,
        scoring=f"{row.scoring}, {row.prompt_style}",
        entries=tuple(entries),
    )


def _table(
    task: str, data: str, metric: str, cells: Sequence[Cell], tokens: Mapping[tuple[str, str], int]
) -> ResultTable:
    shown = columns(cell.setting for cell in cells)
    by_row: dict[Row, dict[str, Cell]] = {}
    for cell in cells:
        by_row.setdefault(cell.row, {})[cell.setting] = cell
    best = _best(by_row)
    rows = tuple(
        run_row(row, tokens, [_entry(of_row.get(setting), (row, setting) in best) for setting in shown])
        for row, of_row in by_row.items()
    )
    head_texts = [heads(setting) for setting in shown]
    head_rows = tuple((label, tuple(text[i] for text in head_texts)) for i, label in enumerate(HEADS))
    groups = [RowGroup(source="run", caption="This run", rows=rows)]
    printed = paper_rows(task)
    if printed and metric == "accuracy":
        of_paper = tuple(_paper_row(row, shown) for row in printed)
        groups.append(RowGroup(source="paper", caption=caption(task), rows=of_paper))
    return ResultTable(
        task=task,
        data=data,
        metric=metric,
        settings=shown,
        heads=head_rows if any(any(texts) for _, texts in head_rows[1:]) else (("Setting", head_rows[0][1]),),
        groups=tuple(groups),
        footnotes=_footnotes(groups),
    )


def _best(by_row: Mapping[Row, Mapping[str, Cell]]) -> set[tuple[Row, str]]:
    """Where the best numbers stand: among rows of one model, prompt and scoring; a row alone has no rival."""
    contests: dict[tuple[str, ...], list[tuple[float, Row]]] = {}
    for row, of_row in by_row.items():
        for setting, cell in of_row.items():
            value = -1.0 if cell.value is None else cell.value  # a row without a value is a rival that cannot win
            contests.setdefault((row.model, row.prompt_style, row.scoring, setting), []).append((value, row))
    return {
        (row, setting)
        for (*_, setting), entries in contests.items()
        for value, row in entries
        if len(entries) > 1 and value >= 0 and value == max(value for value, _ in entries)
    }


def _entry(cell: Cell | None, best: bool) -> Entry:
    if cell is None:
        return Entry(state="absent")
    if cell.value is None:
        return Entry(state="infeasible" if cell.infeasible == cell.n else "unscored")
    return Entry(
        state="value",
        value=100 * cell.value,
        low=None if cell.ci_low is None else 100 * cell.ci_low,
        high=None if cell.ci_high is None else 100 * cell.ci_high,
        best=best,
        partial=cell.scored < cell.n,
    )


def _paper_row(row: PaperRow, shown: Sequence[str]) -> TableRow:
    layers = "-" if row.layers is None else "1" if row.layers == 1 else f"1-{row.layers}"
    values = [row.percent.get(setting) for setting in shown]
    return TableRow(
        tokenizer=row.title,
        layers=layers,
        tokens=row.tokens,
        llm=row.llm,
        scoring=f"Table {row.table}",
        entries=tuple(Entry(state="infeasible" if v is None else "value", value=v) for v in values),
    )


def _footnotes(groups: Sequence[RowGroup]) -> tuple[str, ...]:
    entries = [entry for group in groups for row in group.rows for entry in row.entries]
    states = {entry.state for entry in entries}
    wanted = {
        "interval": any(entry.low is not None for entry in entries),
        "infeasible": "infeasible" in states,
        "unscored": "unscored" in states,
        "partial": any(entry.partial for entry in entries),
        "absent": "absent" in states,
    }
    return tuple(text for name, text in FOOTNOTES.items() if wanted[name])


def average_of(row: TableRow, table: ResultTable) -> Entry | None:
    """The row's average, where the table has that column and the row a value in it."""
    if AVERAGE not in table.settings:
        return None
    entry = row.entries[table.settings.index(AVERAGE)]
    return entry if entry.state == "value" else None
