"""Scores by the number of layers shown: a line per setting, as in the paper's Figure 3.

The horizontal axis has a place for each number of layers that was run, evenly apart: the tokens they add grow fourfold
a layer, so a true scale would press the first ones together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from results.analysis.settings import AVERAGE
from results.analysis.sweep import Sweep, span
from results.display import PERCENT, axis_text, one_line
from results.record import MetricFacts
from results.report.figures.figure import CHANCE, DASHES, MARKERS, SERIES, WIDE, Figure, label
from results.report.report_data import ReportData

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

AXES_HEIGHT, FOOT = 270.0, 78.0  # points
ASIDE = 0.035  # of the step between two numbers of layers: lines that would cover each other are moved apart


def layer_figures(run: ReportData) -> Iterator[Figure]:
    """A figure for each sweep with a value."""
    for place, sweep in enumerate(run.sweeps, start=1):
        if any(entry.value is not None for curve in sweep.curves for entry in curve.entries.values()):
            chance = run.chance(sweep.table)
            colour = SERIES[run.colours[sweep.table.groups[0].rows[0].plain_tokenizer]]
            metric = run.facts.metric(sweep.table.task, sweep.table.metric)
            yield _figure(f"layers-{place}", sweep, metric, chance, colour)


def _figure(name: str, sweep: Sweep, metric: MetricFacts, chance: Mapping[str, float], colour: str) -> Figure:
    parts = [
        f"{curve.label}, layers {span(layers)}: {entry.value_text} {entry.interval_text}".rstrip()
        for curve in sweep.curves
        for layers, entry in curve.entries.items()
        if entry.value is not None
    ]
    guess = " The dashed line is a guess among the named classes." if chance else ""
    left_out = f" Without a value: {'; '.join(sweep.left_out)}." if sweep.left_out else ""
    return Figure(
        name=name,
        section="layers",
        caption=f"{sweep.of}: {metric.name} with 95 % intervals, a line for each setting.{guess}{left_out}",
        summary=one_line(f"{metric.name} by layers shown. {'; '.join(parts)}"),
        draw=lambda width: _draw(width, sweep, metric, chance, colour),
    )


def look(number: int) -> tuple[str, Any]:
    """Marker and dash of the curve of that number: 24 of them differ in one or the other."""
    return MARKERS[number % len(MARKERS)], DASHES[(number + number // len(MARKERS)) % len(DASHES)]


def _draw(
    width: float, sweep: Sweep, metric: MetricFacts, chance: Mapping[str, float], colour: str
) -> MatplotlibFigure:
    from matplotlib.figure import Figure as MatplotlibFigure

    columns = 4 if width >= WIDE else 1
    head = 14.0 + 20.0 * -(-len(sweep.curves) // columns)
    height = head + AXES_HEIGHT + FOOT
    figure = MatplotlibFigure(figsize=(width / 72, height / 72), dpi=72)
    left = 52.0
    axes = figure.add_axes((left / width, FOOT / height, (width - left - 16) / width, AXES_HEIGHT / height))
    places = {layers: place for place, layers in enumerate(sweep.layers)}
    handles = []
    for number, curve in enumerate(sweep.curves):
        average = curve.setting == AVERAGE
        # One colour, for it is one tokenizer; markers and dashes tell its settings apart.
        marker, dash = ("o", "solid") if average else look(number)
        aside = ASIDE * (number - (len(sweep.curves) - 1) / 2)
        entries = [curve.entries.get(layers) for layers in sweep.layers]
        x = [place + aside for place in range(len(sweep.layers))]
        values = [float("nan") if e is None or e.value is None else e.value for e in entries]  # a gap in the line
        for place, entry in zip(x, entries, strict=True):
            if entry is not None and entry.low is not None and entry.high is not None:
                axes.plot([place, place], [entry.low, entry.high], color=colour, linewidth=1.6, alpha=0.5)
        handles += axes.plot(x, values, color=colour, marker=marker, markersize=8, markeredgecolor="white",
                             linestyle=dash, linewidth=3.0 if average else 1.6, label=label(curve.label))  # fmt: skip
    for level in set(chance.values()):
        axes.axhline(level, color=CHANCE, linestyle=(0, (4, 3)), linewidth=1.5, zorder=1)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_xticks(list(places.values()))
    axes.set_xticklabels([f"{span(n)}\n{sweep.tokens[n]}" if n in sweep.tokens else span(n) for n in places])
    axes.set_xlabel("layers shown\ntokens per image" if sweep.tokens else "layers shown", loc="right")
    axes.tick_params(length=0)
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    if metric.unit == PERCENT:
        values = [e.high or e.value or 0.0 for curve in sweep.curves for e in curve.entries.values()]
        axes.set_ylim(100 * (metric.low or 0.0), max(100.0 if metric.high is None else 100 * metric.high, *values))
        axes.set_ylabel(f"{label(metric.name)}, %")
    else:
        axes.set_ylabel(label(axis_text(metric)))
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2,
                  borderpad=0.2, handlelength=1.8, columnspacing=1.8)  # fmt: skip
    return figure
