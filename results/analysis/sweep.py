"""Scores by the number of layers shown: the rows of the paper's Table 5 and the curves of its Figure 3.

A sweep is made of rows that differ in their layers alone, each showing layers 1 to l: `--layers sweep` runs them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.analysis.aggregate import NO_FACTS, Cell, Row
from results.analysis.best import BestMarks
from results.analysis.settings import AVERAGE, in_words, setting_order
from results.analysis.tables import EMPTY, Entry, ResultTable, TokenCounts, result_tables
from results.run_facts import RunFacts

FROM_FIRST = re.compile(r"1(?:-(\d+))?")
PAPER_TABLE = "Table 5"


@dataclass(frozen=True)
class Curve:
    """One setting.

    Attributes:
        setting: its id.
        label: in words.
        entries: by layers (l of 1 to l).
    """

    setting: str
    label: str
    entries: Mapping[int, Entry]


@dataclass(frozen=True)
class Sweep:
    """One tokenizer, model, prompt and rule on one task and image set.

    Attributes:
        of: what the rows share, for a heading.
        layers: every l there is, ascending, at least two.
        tokens: per image, by l, where known.
        table: the rows in order of l, the paper's Table 5 below where it has the task.
        curves: settings in the paper's order, the average last.
    """

    of: str
    layers: tuple[int, ...]
    tokens: Mapping[int, int]
    table: ResultTable
    curves: tuple[Curve, ...]

    @property
    def left_out(self) -> tuple[str, ...]:
        """The points that no curve has, and why: 'layers 1-6: no value (-) in 5 shots'."""
        return tuple(
            f"{curve.label}, {span(layers)}: {EMPTY[entry.state]}"
            for curve in self.curves
            for layers, entry in curve.entries.items()
            if entry.value is None and entry.state != "absent"
        )


def span(layers: int) -> str:
    """'1' or '1-3'."""
    return "1" if layers == 1 else f"1-{layers}"


def sweeps(
    cells: Sequence[Cell],
    tokens: TokenCounts | None = None,
    facts: RunFacts = NO_FACTS,
    marks: BestMarks | None = None,
) -> list[Sweep]:
    """The sweeps among the cells, in their order; a tokenizer with one number of layers makes none.

    Args:
        cells: from `aggregate`.
        tokens: tokens per image, where known.
        facts: of the run.
        marks: finds the best numbers; None marks none.
    """
    groups: dict[tuple[str, Row], list[Cell]] = {}
    for cell in cells:
        if FROM_FIRST.fullmatch(cell.layers):
            groups.setdefault((cell.metric, cell.row.model_copy(update={"layers": ""})), []).append(cell)
    found = []
    for (_, row), group in groups.items():
        if len({cell.layers for cell in group}) > 1:
            found.append(_sweep(row, group, tokens or {}, facts, marks))
    return found


def _sweep(row: Row, cells: Sequence[Cell], tokens: TokenCounts, facts: RunFacts, marks: BestMarks | None) -> Sweep:
    (table,) = result_tables(cells, tokens, facts, marks)
    groups = [table.groups[0].model_copy(update={"caption": f"This run, {row.name}"})]
    for group in table.groups[1:]:
        printed = tuple(one for one in group.rows if one.scoring == PAPER_TABLE)
        if printed:
            groups.append(group.model_copy(update={"rows": printed}))
    table = table.model_copy(update={"groups": tuple(groups)})
    numbers = [_last(one.layers) for one in table.groups[0].rows]
    curves = [
        Curve(
            setting=setting,
            label="average" if setting == AVERAGE else in_words(setting),
            entries={layers: one.entries[column] for layers, one in zip(numbers, table.groups[0].rows, strict=True)},
        )
        for column, setting in sorted(enumerate(table.settings), key=lambda pair: setting_order(pair[1]))
    ]
    return Sweep(
        of=f"{row.name} by layers: {row.task} on {row.data}, {row.model}, {row.scoring}, {row.prompt_style}",
        layers=tuple(sorted(numbers)),
        tokens={
            layers: one.tokens
            for layers, one in zip(numbers, table.groups[0].rows, strict=True)
            if one.tokens is not None
        },
        table=table,
        curves=tuple(one for one in curves if any(entry.state != "absent" for entry in one.entries.values())),
    )


def _last(layers: str) -> int:
    found = FROM_FIRST.fullmatch(layers)
    assert found is not None
    return int(found[1] or 1)
