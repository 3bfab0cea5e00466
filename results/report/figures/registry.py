"""The figures of a report by name, in the order of the page: to add one, write its file and add its line here.

Other packages add figures by entry points of the group `spae.figures`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from textwrap import wrap
from typing import TYPE_CHECKING

from results.report.figures.figure import Figure
from results.report.report_data import ReportData
from spae.plugins import PluginFault, load_target, plugin_code

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

_log = logging.getLogger(__name__)

FIGURES = {
    "settings": "results.report.figures.settings:setting_figures",
    "layers": "results.report.figures.layers:layer_figures",
}
"""Name -> "module:attribute" of `(ReportData) -> Iterable[Figure]`."""
GROUP = "spae.figures"
"""Entry point group of other packages' figures."""


def targets() -> dict[str, str]:
    """Every entry as name -> "module:attribute", plug-ins after the built-in ones."""
    found = dict(FIGURES)
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        owner = point.dist.name if point.dist is not None else point.value
        found[f"{point.name}@{owner}" if point.name in found else point.name] = point.value
    return found


def run_figures(run: ReportData) -> Iterator[Figure]:
    """Every figure that a run has data for; `Figure.draw` is not called yet.

    In place of a figure that another package fails to make, there is one that says so: the report is written.
    """
    for name, target in targets().items():
        if name in FIGURES:
            yield from load_target(target)(run)
            continue
        try:
            with plugin_code():
                found = list(load_target(target)(run))
            wrong = next((one for one in found if not isinstance(one, Figure)), None)
            if wrong is not None:
                raise PluginFault(f"it must give results.report.figures.figure.Figure, got {type(wrong).__name__}")
        except PluginFault as fault:
            yield _failure(name, target, fault)
        else:
            yield from (replace(one, draw=partial(_drawn, one, name, target)) for one in found)


def _drawn(figure: Figure, name: str, target: str, width: float) -> MatplotlibFigure:
    """What a plug-in draws, or why it does not."""
    from matplotlib.figure import Figure as MatplotlibFigure

    try:
        with plugin_code():
            drawn = figure.draw(width)
        if not isinstance(drawn, MatplotlibFigure):
            raise PluginFault(f"draw must return a matplotlib figure, got {type(drawn).__name__}")
    except PluginFault as fault:
        return _failure(name, target, fault).draw(width)
    return drawn


def _failure(name: str, target: str, fault: PluginFault) -> Figure:
    """A figure that says why there is none."""
    said = f"The figure {name} ({target}) could not be made. {fault}"
    _log.warning("%s: uninstall or mend the package that adds it", said)
    plain = re.sub("[^a-zA-Z0-9]+", "-", name).strip("-") or "plug-in"
    return Figure(f"{plain}-failed", "results", said, said, partial(_text, said))


def _text(said: str, width: float) -> MatplotlibFigure:
    from matplotlib.figure import Figure as MatplotlibFigure

    figure = MatplotlibFigure(figsize=(width / 72, 1), dpi=72)
    figure.text(0.01, 0.5, "\n".join(wrap(said, max(20, int(width / 9)))), va="center")
    return figure
