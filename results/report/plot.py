"""Geometry of the accuracy plot: a dot and its interval per row of the table, a band per setting, the chance line.

Settings run down the page and accuracy runs across it, so that names stay readable and the plot fits a phone; the
template `plot.svg.j2` draws what is worked out here. Lengths are in SVG user units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.analysis.settings import AVERAGE, in_words
from results.analysis.tables import ResultTable, TableRow

SHAPES = ("circle", "square", "diamond", "triangle", "cross", "ring")
LANE = 15  # height of one mark's lane
GAP = 16  # between two settings
TOP, BOTTOM, RIGHT = 8, 40, 16


@dataclass(frozen=True)
class Mark:
    """One value: position, ends of the interval (None where it has none), text for a tooltip."""

    x: float
    y: float
    low: float | None
    high: float | None
    title: str
    series: int
    shape: str


@dataclass(frozen=True)
class Band:
    """One setting: its name, and the lanes of its marks from `y` down."""

    label: str
    y: float
    height: float
    average: bool
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Series:
    """One row of the table, as the legend names it."""

    label: str
    shape: str
    number: int


@dataclass(frozen=True)
class Plot:
    """All that the template needs."""

    width: float
    height: float
    left: float
    right: float
    bottom: float
    ticks: tuple[tuple[float, str], ...]
    bands: tuple[Band, ...]
    series: tuple[Series, ...]
    chance: float | None
    rule: str
    summary: str


def contests(table: ResultTable) -> list[tuple[int, ...]]:
    """The run's own rows by what makes them comparable (one model, one prompt, one scoring): a plot for each."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(table.groups[0].rows):
        groups.setdefault((row.llm, row.scoring), []).append(number)
    return [tuple(numbers) for numbers in groups.values()]


def accuracy_plot(table: ResultTable, numbers: Sequence[int], chance: Mapping[str, float], width: float) -> Plot | None:
    """The plot of some of the run's own rows; None where the table has no value of theirs.

    Args:
        table: one task's table.
        numbers: which rows, as `contests` gives them; a row keeps its colour and shape in every plot.
        chance: by setting, per cent that a guess among the named classes gets.
        width: of the drawing; the labels take 150 of it, less on a narrow one.
    """
    rows = tuple(table.groups[0].rows[number] for number in numbers)
    left = 150.0 if width >= 600 else 108.0
    right = width - RIGHT

    def x(value: float) -> float:
        return round(left + (right - left) * value / 100, 2)

    bands: list[Band] = []
    y = float(TOP)
    for column, setting in enumerate(table.settings):
        entries = [(number, row, row.entries[column]) for number, row in enumerate(rows)]
        entries = [(number, row, entry) for number, row, entry in entries if entry.value is not None]
        if not entries:
            continue
        label = "average" if setting == AVERAGE else in_words(setting)
        height = LANE * len(rows)
        marks = tuple(
            Mark(
                x=x(entry.value or 0.0),
                y=y + LANE * (number + 0.5),
                low=None if entry.low is None else x(entry.low),
                high=None if entry.high is None else x(entry.high),
                title=f"{row.tokenizer} {row.layers}, {label}: {entry.value:.1f} %",
                series=numbers[number],
                shape=SHAPES[_shape(numbers[number])],
            )
            for number, row, entry in entries
        )
        bands.append(Band(label=label, y=y, height=height, average=setting == AVERAGE, marks=marks))
        y += height + GAP
    if not bands:
        return None
    bottom = y - GAP + TOP
    levels = [chance[setting] for setting in table.settings if setting in chance]
    names = series_names(rows)
    rule = f"{rows[0].llm}; {rows[0].scoring}"
    return Plot(
        width=width,
        height=bottom + BOTTOM,
        left=left,
        right=right,
        bottom=bottom,
        ticks=tuple((x(value), str(value)) for value in (range(0, 101, 10) if width >= 600 else range(0, 101, 20))),
        bands=tuple(bands),
        series=tuple(Series(name, SHAPES[_shape(i)], i) for i, name in zip(numbers, names, strict=True)),
        chance=x(levels[0]) if levels and max(levels) - min(levels) < 1e-9 else None,
        rule=rule,
        summary="; ".join(mark.title for band in bands for mark in band.marks),
    )


def _shape(number: int) -> int:
    """Shifts by one each time the colours start over, so that 36 rows differ in colour or shape."""
    return (number + number // len(SHAPES)) % len(SHAPES)


def series_names(rows: tuple[TableRow, ...]) -> tuple[str, ...]:
    """The shortest names that tell the rows apart: a model or a rule is named only where rows differ in it."""
    models, rules = {row.llm for row in rows}, {row.scoring for row in rows}
    return tuple(
        ", ".join(
            [f"{row.tokenizer} {row.pyramid}"]
            + ([row.llm] if len(models) > 1 else [])
            + ([row.scoring] if len(rules) > 1 else [])
        )
        for row in rows
    )
