"""The report as one page that stands alone.

The page loads nothing and runs nothing: no script, font or image from elsewhere, and a Content-Security-Policy that
forbids all of it, inline styles but the page's own included, should escaping ever fail. Everything is escaped unless a
template itself wrote it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from results.analysis.settings import in_words, layer_numbers
from results.analysis.tables import average_of
from results.display import number, one_line, p_text, visible
from results.report.figures.figure import Figure
from results.report.report_data import ReportData, layer_errors

MOST_TILES = 7  # more rows than this are a wall of numbers, and the table has them


def html_report(run: ReportData, figures: Sequence[tuple[Figure, str]]) -> str:
    """The text of `report.html`.

    Args:
        run: to be reported.
        figures: each with its SVG elements, as `svg_and_png` makes them.
    """
    css = files("results.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    template = environment().get_template("report.html.j2")
    return template.render(
        run=run,
        figures=[(figure, Markup(svg)) for figure, svg in figures],  # made by matplotlib and an XML writer
        css=Markup(css),
        css_sha256=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode("ascii"),
        config=json.dumps(run.store.config, indent=2, sort_keys=True),
        average_of=average_of,
        most_tiles=MOST_TILES,
        layer_errors=layer_errors,
        layer_numbers=layer_numbers,
    )


@cache
def environment() -> Environment:
    """Templates of `results/report/templates`; a name that a template misspells is an error."""
    made = Environment(
        loader=PackageLoader("results.report", "templates"),
        autoescape=True,  # for every file, whatever its ending
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(line=one_line, visible=visible, number=number, p=p_text, in_words=in_words)
    return made
