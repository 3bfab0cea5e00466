"""Geometry of the plot of a sweep: a line per setting over the number of layers; `sweep.svg.j2` draws it.

Lengths are in SVG user units. The horizontal axis has a place for each number of layers that was run, evenly apart: the
tokens they add grow fourfold a layer, so a true scale would press the first ones together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from results.analysis.settings import AVERAGE
from results.analysis.sweep import Sweep, span, sweeps
from results.report.plot import SHAPES
from results.report.report_data import ReportData

HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 320.0, 12.0, 56.0, 44.0, 24.0
ASIDE = 4.0  # lines that would cover each other are drawn so far apart


@dataclass(frozen=True)
class Point:
    """One value: position, ends of the interval, text for a tooltip."""

    x: float
    y: float
    low: float | None
    high: float | None
    title: str


@dataclass(frozen=True)
class Line:
    """One setting; `pieces` are its stretches without a gap, as SVG point lists."""

    label: str
    number: int
    shape: str
    average: bool
    points: tuple[Point, ...]
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class SweepPlot:
    """All that the template needs."""

    width: float
    height: float
    left: float
    right: float
    bottom: float
    columns: tuple[tuple[float, str, str], ...]
    """x, layers, tokens of each place on the axis."""
    ticks: tuple[tuple[float, str], ...]
    series: tuple[Line, ...]
    summary: str


def sweep_panels(run: ReportData, widths: Mapping[str, float]) -> list[tuple[Sweep, list[tuple[str, SweepPlot]]]]:
    """The sweeps of a run, each with its plot in several widths.

    Args:
        widths: by the class that the style sheet shows or hides a plot by.
    """
    panels = []
    for one in run_sweeps(run):
        plots = [(name, sweep_plot(one, width)) for name, width in widths.items()]
        panels.append((one, [(name, plot) for name, plot in plots if plot is not None]))
    return panels


def run_sweeps(run: ReportData) -> list[Sweep]:
    """The sweeps of a run."""
    return sweeps(run.cells, run.examples.token_counts({(cell.tokenizer, cell.layers) for cell in run.cells}))


def sweep_plot(sweep: Sweep, width: float) -> SweepPlot | None:
    """The plot, its axis from 0 to 100 per cent or to the highest value; None where no setting has a value."""
    values = [entry.high or entry.value or 0.0 for curve in sweep.curves for entry in curve.entries.values()]
    if not any(entry.value is not None for curve in sweep.curves for entry in curve.entries.values()):
        return None
    top = 100.0 if max(values) <= 100 else max(values)
    bottom, right = HEIGHT - BOTTOM, width - RIGHT
    step = (right - LEFT) / len(sweep.layers)
    x_of = {layers: LEFT + step * (place + 0.5) for place, layers in enumerate(sweep.layers)}

    def y(value: float) -> float:
        return round(bottom - (bottom - TOP) * min(max(value, 0.0), top) / top, 2)

    lines = []
    for number, curve in enumerate(sweep.curves):
        aside = ASIDE * (number - (len(sweep.curves) - 1) / 2)
        points: list[Point] = []
        pieces: list[list[str]] = [[]]
        for layers in sweep.layers:
            entry = curve.entries.get(layers)
            if entry is None or entry.value is None:
                pieces.append([])
                continue
            point = Point(
                x=round(x_of[layers] + aside, 2),
                y=y(entry.value),
                low=None if entry.low is None else y(entry.low),
                high=None if entry.high is None else y(entry.high),
                title=f"{curve.label}, layers {span(layers)}: {entry.value:.1f} {entry.interval_text}".rstrip(),
            )
            points.append(point)
            pieces[-1].append(f"{point.x},{point.y}")
        lines.append(
            Line(
                label=curve.label,
                number=number,
                shape=SHAPES[number % len(SHAPES)],
                average=curve.setting == AVERAGE,
                points=tuple(points),
                pieces=tuple(" ".join(piece) for piece in pieces if len(piece) > 1),
            )
        )
    return SweepPlot(
        width=width,
        height=HEIGHT,
        left=LEFT,
        right=right,
        bottom=bottom,
        columns=tuple((round(x_of[one], 2), span(one), _tokens(sweep, one)) for one in sweep.layers),
        ticks=tuple((y(top * part / 5), f"{top * part / 5:.0f}") for part in range(6)),
        series=tuple(lines),
        summary="; ".join(point.title for line in lines for point in line.points),
    )


def _tokens(sweep: Sweep, layers: int) -> str:
    return str(sweep.tokens[layers]) if layers in sweep.tokens else ""
