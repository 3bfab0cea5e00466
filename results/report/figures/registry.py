"""The figures of a report by name, in the order of the page: to add one, write its file and add its line here.

A third party adds one by an entry point of group `spae.figures`; it follows the built-in ones.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import entry_points

from results.report.figures.figure import Figure
from results.report.report_data import ReportData

GROUP = "spae.figures"
FIGURES = {
    "settings": "results.report.figures.settings:setting_figures",
    "layers": "results.report.figures.layers:layer_figures",
}
"""Name -> "module:attribute" of `(ReportData) -> Iterable[Figure]`."""


def run_figures(run: ReportData) -> Iterator[Figure]:
    """Every figure that a run has data for; `Figure.draw` is not called yet."""
    added = {point.name: point.value for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}
    for target in (FIGURES | {name: value for name, value in added.items() if name not in FIGURES}).values():
        module, _, attribute = target.partition(":")
        yield from getattr(importlib.import_module(module), attribute)(run)
