"""The figures of a report by name, in the order of the page: to add one, write its file and add its line here.

Other packages add figures by entry points of the group `spae.figures`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from results.report.figures.figure import Figure
from results.report.report_data import ReportData
from spae.plugins import PluginError, check_kind, guarded, load_part, plugins

log = logging.getLogger(__name__)

FIGURES = {
    "settings": "results.report.figures.settings:setting_figures",
    "layers": "results.report.figures.layers:layer_figures",
}
"""Name -> "module:attribute" of `(ReportData) -> Iterable[Figure]`."""
GROUP = "spae.figures"
"""Entry point group of other packages' figures."""


def run_figures(run: ReportData) -> Iterator[Figure]:
    """Every figure that a run has data for; `Figure.draw` is not called yet.

    One of another package that does not load, or gives something else, is left out, which is logged.
    """
    for target in FIGURES.values():
        yield from load_part(target)(run)
    for plugin in plugins(GROUP):
        try:
            with guarded(plugin, "fails"):
                figures = list(load_part(plugin.target)(run))
            for figure in figures:
                check_kind(plugin, figure, Figure)
        except PluginError as error:
            log.warning("a figure is left out of the report: %s", error)
            continue
        yield from figures
