"""Scores by setting: a dot and its interval per row of the table, a band per setting, the chance level.

Settings run down the page and the metric runs across it, so that names stay readable and the figure fits a phone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from results.analysis.settings import AVERAGE, in_words
from results.analysis.tables import ResultTable, TableRow
from results.display import PERCENT, axis_text, one_line
from results.record import MetricFacts
from results.report.figures.figure import CHANCE, FAINT, INK, MARKERS, SERIES, SOFT, WIDE, Figure, label
from results.report.report_data import ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

LANE, GAP = 16.0, 16.0  # points: height of one row's lane, and between two settings
FOOT = 46.0  # points under the axes


def setting_figures(run: ReportData) -> Iterator[Figure]:
    """A figure for each group of rows that may be compared; tables of several metrics have no axis in common."""
    for place, table in enumerate(run.tables, start=1):
        if table.axis is None:
            continue
        chance = run.chance(table)
        for number, rows in enumerate(contests(table), start=1):
            if any(table.groups[0].rows[row].entries[c].value is not None for row in rows for c in _columns(table)):
                yield _figure(f"settings-{place}-{number}", table, table.axis, rows, chance, run.colours)


def contests(table: ResultTable) -> list[tuple[int, ...]]:
    """The run's own rows by what makes them comparable (one model, one prompt, one scoring): a figure for each."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(table.groups[0].rows):
        groups.setdefault((row.model, row.scoring), []).append(number)
    return [tuple(numbers) for numbers in groups.values()]


def series_names(rows: Sequence[TableRow]) -> tuple[str, ...]:
    """The shortest names that tell the rows apart: a model or a rule is named only where rows differ in it."""
    models, rules = {row.model for row in rows}, {row.scoring for row in rows}
    return tuple(
        ", ".join(
            [f"{row.tokenizer} {row.pyramid}"]
            + ([row.model] if len(models) > 1 else [])
            + ([row.scoring] if len(rules) > 1 else [])
        )
        for row in rows
    )


def _columns(table: ResultTable) -> range:
    return range(len(table.settings))


def _setting(setting: str) -> str:
    return "average" if setting == AVERAGE else in_words(setting)


def _figure(
    name: str,
    table: ResultTable,
    metric: MetricFacts,
    numbers: Sequence[int],
    chance: Mapping[str, float],
    colours: Mapping[str, int],
) -> Figure:
    rows = [table.groups[0].rows[number] for number in numbers]
    looks = [(row, *look) for row, look in zip(rows, row_looks(rows, colours), strict=True)]
    shown = [c for c in _columns(table) if any(row.entries[c].value is not None for row in rows)]
    parts = [
        f"{row.tokenizer} {row.layers}, {_setting(table.settings[c])}: {row.entries[c].value_text} "
        f"{row.entries[c].interval_text}".rstrip()
        for c in shown
        for row in rows
        if row.entries[c].value is not None
    ]

    def draw(width: float) -> MatplotlibFigure:
        return _draw(width, table, metric, looks, shown, chance)

    what = f"{table.task}: {metric.name} by setting with 95 % intervals ({rows[0].model}; {rows[0].scoring})."
    guess = " The dashed line is a guess among the named classes." if chance else ""
    return Figure(
        name=name,
        section="results",
        caption=what + guess + ("" if metric.higher_is_better else " Lower is better."),
        summary=one_line(f"{metric.name} with 95 % intervals. {'; '.join(parts)}"),
        draw=draw,
    )


def row_looks(rows: Sequence[TableRow], colours: Mapping[str, int]) -> list[tuple[str, str]]:
    """Colour and marker of each row: the colour is the tokenizer's, the marker tells its layers apart."""
    seen: dict[str, list[str]] = {}
    looks = []
    for row in rows:
        layers = seen.setdefault(row.plain_tokenizer, [])
        if row.layers not in layers:
            layers.append(row.layers)
        place = colours[row.plain_tokenizer]
        looks.append((SERIES[place], MARKERS[(place + layers.index(row.layers)) % len(MARKERS)]))
    return looks


def _draw(
    width: float, table: ResultTable, metric: MetricFacts, looks: Sequence[tuple[TableRow, str, str]],
    shown: Sequence[int], chance: Mapping[str, float],
) -> MatplotlibFigure:  # fmt: skip
    from matplotlib.figure import Figure as MatplotlibFigure

    wide = width >= WIDE
    rows = [row for row, _, _ in looks]
    columns = 3 if wide and len(rows) > 1 else 1
    head = (28.0 if chance else 12.0) + 20.0 * -(-len(rows) // columns)
    band = LANE * len(rows) + GAP
    height = head + band * len(shown) + FOOT
    figure = MatplotlibFigure(figsize=(width / 72, height / 72), dpi=72)
    left = 156.0 if wide else 104.0
    axes = figure.add_axes((left / width, FOOT / height, (width - left - 16) / width, band * len(shown) / height))
    axes.set_ylim(band * len(shown), 0)  # in points, downwards
    for place, column in enumerate(shown):
        top, setting = place * band, table.settings[column]
        axes.axhspan(top + GAP / 4, top + band - GAP / 4, color=FAINT, linewidth=0, zorder=0)
        if setting in chance:
            axes.plot([chance[setting]] * 2, [top, top + band], color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.5)
        for lane, (row, colour, marker) in enumerate(looks):
            entry = row.entries[column]
            if entry.value is not None:
                low, high = (entry.value if end is None else end for end in (entry.low, entry.high))
                y = top + GAP / 2 + LANE * (lane + 0.5)
                axes.plot([low, high], [y, y], color=colour, linewidth=2.2, alpha=0.55, solid_capstyle="butt")
                axes.plot([entry.value], [y], color=colour, marker=marker, **_filled(row, colour))
    axes.set_yticks([(place + 0.5) * band for place in range(len(shown))])
    names = [_setting(table.settings[column]) for column in shown]
    axes.set_yticklabels([label(name) if wide else label(name).replace(", ", ",\n") for name in names])
    for text, name in zip(axes.get_yticklabels(), names, strict=True):
        text.set(color=INK if name == "average" else SOFT, fontweight="bold" if name == "average" else "normal")
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.grid(axis="x")
    _scale(axes, metric, wide)
    if table.settings[shown[0]] in chance:
        axes.annotate("chance", (chance[table.settings[shown[0]]], 1), (0, 2), va="bottom", ha="center",
                      xycoords=("data", "axes fraction"), textcoords="offset points", color=CHANCE)  # fmt: skip
    handles = [
        axes.plot([], [], color=colour, marker=marker, linewidth=2.2, label=label(name), **_filled(row, colour))[0]
        for (row, colour, marker), name in zip(looks, series_names(rows), strict=True)
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2,
                  borderpad=0.2, handlelength=1.8, columnspacing=1.8)  # fmt: skip
    return figure


def _filled(row: TableRow, colour: str) -> dict[str, Any]:
    """A marker full of its colour; a control's is hollow."""
    if row.shuffled:
        return {"markersize": 7, "markeredgecolor": colour, "markerfacecolor": "white", "markeredgewidth": 1.6}
    return {"markersize": 8, "markeredgecolor": "white"}


def _scale(axes: Axes, metric: MetricFacts, wide: bool) -> None:
    """The axis of values: the whole range of a percentage, else what the data need."""
    if metric.unit == PERCENT:
        axes.set_xlim((metric.low or 0.0) * 100, (1.0 if metric.high is None else metric.high) * 100)
        axes.set_xticks(range(0, 101, 10) if wide else range(0, 101, 20))
        axes.set_xlabel(f"{label(metric.name)}, %", loc="right")
    else:
        axes.set_xlabel(
            label(axis_text(metric)),
            loc="right",
        )
