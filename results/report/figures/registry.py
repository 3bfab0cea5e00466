"""The figures of a report by name, in the order of the page: to add one, write its file and add its line here.

Other packages add figures by entry points of the group `spae.figures`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import entry_points

from results.errors import ReportError
from results.report.figures.figure import Figure
from results.report.report_data import ReportData

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

    Raises:
        ReportError: the package that adds a figure does not load.
    """
    for name, target in targets().items():
        module, _, attribute = target.partition(":")
        try:
            figures = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ReportError(f"figure {name!r} does not load ({error}): reinstall the package that adds it") from error
        yield from figures(run)
