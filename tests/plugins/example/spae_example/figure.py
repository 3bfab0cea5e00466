"""How long the prompts of each tokenizer are, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from results.report.figures.figure import Figure, label
from results.report.report_data import ReportData

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure


def prompt_lengths(run: ReportData) -> Iterator[Figure]:
    lengths: dict[str, list[int]] = {}
    for record in run.records:
        lengths.setdefault(f"{record.tokenizer} {record.layers}", []).append(len(record.prompt.split()))

    def draw(width: float) -> MatplotlibFigure:
        from matplotlib.figure import Figure as MatplotlibFigure

        figure = MatplotlibFigure(figsize=(width / 72, 1 + 0.4 * len(lengths)), dpi=72, layout="constrained")
        axes = figure.subplots()
        axes.boxplot(list(lengths.values()), orientation="horizontal", tick_labels=[label(name) for name in lengths])
        axes.set_xlabel("words of a prompt")
        return figure

    summary = "; ".join(f"{name}: {min(counts)} to {max(counts)} words" for name, counts in lengths.items())
    yield Figure("prompt-lengths", "results", "How long the prompts are.", summary, draw)
