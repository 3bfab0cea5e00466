"""The layout of the result table, after the paper's Table 1: what stands where, and which number is marked as the best.

Settings are columns, headed by task induction, inner shots and repeats; a row is a tokenizer with its layers and
tokens, a model and a scoring rule. The paper's own rows stand below, in a group that says they are not comparable.
`results.report.table_formats` writes the same table to a console, Markdown, CSV and HTML; nothing is decided there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from results.analysis.aggregate import NO_FACTS, SHUFFLED, Cell, Row
from results.analysis.best import LEAST, BestMarks
from results.analysis.settings import AVERAGE, HEADS, columns, heads
from results.display import hundredfold, number, scale, unit_text
from results.paper import PaperRow, caption, paper_rows
from results.record import MetricFacts
from results.run_facts import RunFacts
from spae.canonical import Frozen

State = Literal["value", "infeasible", "unscored", "absent", "unavailable"]
EMPTY = {"infeasible": "-", "unscored": "n/s", "absent": "", "unavailable": "n/a"}
TokenCounts = Mapping[tuple[str, str], int]
"""Tokens per image by (tokenizer, layers), as `Examples.token_counts` gives them."""

UNSCORED = "n/s: no reply could be scored."
STRICT = (
    "Strict: empty, refused and failed replies count as the worst score, as the paper would; the value before it "
    "leaves them out."
)
BEST = (
    f"In bold: the best of a column among rows of the same model, prompt and scoring, where {LEAST} samples or more "
    "and the paired 95 % interval tell it from the next; never a control."
)
FOOTNOTES = {
    "interval": "of the scored episodes, with 95 % intervals (Wilson; the average's by bootstrap over episodes).",
    "best": BEST,
    "infeasible": "-: the prompt does not fit the model's context (in the paper's rows: no number printed).",
    "unscored": UNSCORED,
    "partial": "†: not every episode could be scored; see the counts.",
    "strict": STRICT,
    "absent": "Empty: not run, or an average that lacks a setting.",
}


class Entry(Frozen):
    """One number of the table, as it is shown: in per cent, or in the metric's unit."""

    state: State
    value: float | None = None
    low: float | None = None
    high: float | None = None
    percentage: bool = Field(default=True, description="the numbers are times 100, with one decimal")
    best: bool = Field(default=False, description="marked as the best of its column (see `BestMarks`)")
    partial: bool = Field(default=False, description="some of its episodes were not scored")
    scored: int = Field(default=0, description="the denominator of `value`")
    strict: float | None = Field(default=None, description="as `Cell.strict`")
    strict_n: int = Field(default=0, description="the denominator of `strict`")

    @property
    def value_text(self) -> str:
        """The number as printed: '52.0', with a dagger where not every episode was scored; '-' where infeasible."""
        if self.value is None:
            return EMPTY[self.state]
        return number(self.value, self.percentage) + ("†" if self.partial else "")

    @property
    def interval_text(self) -> str:
        """'45.1–58.8', or nothing."""
        if self.low is None or self.high is None:
            return ""
        return f"{number(self.low, self.percentage)}\N{EN DASH}{number(self.high, self.percentage)}"

    @property
    def strict_text(self) -> str:
        """'strict 46.8, n 180 / 200': the strict value and both denominators; nothing where the two values agree."""
        if self.strict is None:
            return ""
        return f"strict {number(self.strict, self.percentage)}, n {self.scored} / {self.strict_n}"


class TableRow(Frozen):
    """One row: what it is of, and an entry per column."""

    tokenizer: str
    shuffled: bool = Field(default=False, description="a control: images were shown with each other's words")
    layers: str = Field(description="'1-2', or '-' where there is none")
    tokens: int | None = Field(description="tokens per image, None where not known")
    model: str
    scoring: str = Field(description="scoring rule and prompt style: 'ranked, gpt'")
    entries: tuple[Entry, ...]

    @property
    def plain_tokenizer(self) -> str:
        """The tokenizer's own name, also of a control."""
        return self.tokenizer.removesuffix(SHUFFLED) if self.shuffled else self.tokenizer

    @property
    def labels(self) -> tuple[str, ...]:
        """The texts left of the numbers, one per label of `LABELS`."""
        return (self.tokenizer, self.pyramid, self.model, self.scoring)

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
    unit: str = Field(description="of the numbers, as the title has it: 'in per cent'; '' for several or none")
    axis: MetricFacts | None = Field(description="the metric that all columns share; None where columns are metrics")

    @property
    def title(self) -> str:
        """One line over the table."""
        return f"{self.task} on {self.data}: {self.metric} {self.unit}".rstrip()


LABELS = ("Tokenizer", "Layers : tokens", "LLM", "Scoring, prompt")


def result_tables(
    cells: Sequence[Cell],
    tokens: TokenCounts | None = None,
    facts: RunFacts = NO_FACTS,
    marks: BestMarks | None = None,
) -> list[ResultTable]:
    """One table per task, image set and metric, in the order of the cells.

    Args:
        cells: from `aggregate`.
        tokens: tokens per image, where known.
        facts: of the run.
        marks: finds the best numbers; None marks none.
    """
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.task, cell.data, cell.metric), []).append(cell)
    return [
        _table(task, data, facts.metric(task, metric), group, tokens or {}, marks)
        for (task, data, metric), group in groups.items()
    ]


def run_row(row: Row, tokens: TokenCounts, entries: Sequence[Entry]) -> TableRow:
    """A row of this run."""
    return TableRow(
        tokenizer=row.name,
        shuffled=row.shuffled,
        layers=row.layers,
        tokens=tokens.get((row.tokenizer, row.layers)),
        model=row.model,
        scoring=f"{row.scoring}, {row.prompt_style}",
        entries=tuple(entries),
    )


def entry_of(cell: Cell, metric: MetricFacts, best: bool) -> Entry:
    """The entry of a cell; one without a value says why."""
    times = scale(metric)
    unscored: State = "infeasible" if cell.infeasible == cell.n else "unscored"
    return Entry(
        state=unscored if cell.value is None else "value",
        value=None if cell.value is None else times * cell.value,
        low=None if cell.ci_low is None else times * cell.ci_low,
        high=None if cell.ci_high is None else times * cell.ci_high,
        percentage=hundredfold(metric),
        best=best,
        partial=cell.value is not None and cell.scored < cell.n,
        scored=cell.scored,
        strict=None if cell.strict is None else times * cell.strict,
        strict_n=cell.strict_n or 0,
    )


def _table(
    task: str, data: str, metric: MetricFacts, cells: Sequence[Cell], tokens: TokenCounts, marks: BestMarks | None
) -> ResultTable:
    shown = columns(cell.setting for cell in cells)
    best = marks.among(cells) if marks is not None else set()
    entries: dict[Row, dict[str, Entry]] = {}
    for cell in cells:
        row = cell.row
        entries.setdefault(row, {})[cell.setting] = entry_of(cell, metric, (row, cell.setting, metric.name) in best)
    rows = tuple(
        run_row(row, tokens, [of_row.get(setting, Entry(state="absent")) for setting in shown])
        for row, of_row in entries.items()
    )
    head_texts = [heads(setting) for setting in shown]
    head_rows = tuple((label, tuple(text[i] for text in head_texts)) for i, label in enumerate(HEADS))
    groups = [RowGroup(source="run", caption="This run", rows=rows)]
    printed = [row for row in paper_rows(task) if row.metric == metric.name]
    if printed:
        of_paper = tuple(_paper_row(row, shown) for row in printed)
        groups.append(RowGroup(source="paper", caption=caption(task, {cell.scoring for cell in cells}), rows=of_paper))
    return ResultTable(
        task=task,
        data=data,
        metric=metric.name,
        settings=shown,
        heads=head_rows if any(any(texts) for _, texts in head_rows[1:]) else (("Setting", head_rows[0][1]),),
        groups=tuple(groups),
        footnotes=_footnotes(groups, metric),
        unit=unit_text(metric),
        axis=metric,
    )


def _paper_row(row: PaperRow, shown: Sequence[str]) -> TableRow:
    layers = "-" if row.layers is None else "1" if row.layers == 1 else f"1-{row.layers}"
    values = [row.percent.get(setting) for setting in shown]
    return TableRow(
        tokenizer=row.title,
        layers=layers,
        tokens=row.tokens,
        model=row.model,
        scoring=f"Table {row.table}",
        entries=tuple(Entry(state="infeasible" if v is None else "value", value=v) for v in values),
    )


def _footnotes(groups: Sequence[RowGroup], metric: MetricFacts) -> tuple[str, ...]:
    entries = [entry for group in groups for row in group.rows for entry in row.entries]
    states = {entry.state for entry in entries}
    wanted = {
        "interval": any(entry.low is not None for entry in entries),
        "best": sum(len(group.rows) for group in groups if group.source == "run") > 1,
        "infeasible": "infeasible" in states,
        "unscored": "unscored" in states,
        "partial": any(entry.partial for entry in entries),
        "strict": any(entry.strict is not None for entry in entries),
        "absent": "absent" in states,
    }
    unit = unit_text(metric).removeprefix("in ")
    lead = f"Values are {unit} " if unit else "Values are "
    better = "" if metric.higher_is_better else " Lower is better."
    notes = {**FOOTNOTES, "interval": lead + FOOTNOTES["interval"] + better}
    return tuple(text for name, text in notes.items() if wanted[name])


def average_of(row: TableRow, table: ResultTable) -> Entry | None:
    """The row's average, where the table has that column and the row a value in it."""
    if AVERAGE not in table.settings:
        return None
    entry = row.entries[table.settings.index(AVERAGE)]
    return entry if entry.state == "value" else None
