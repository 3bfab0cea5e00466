"""The report of a run: one page that stands alone, and the same numbers as Markdown, CSV and JSON.

The page loads nothing and runs nothing: no script, no font, no image from elsewhere, and a Content-Security-Policy
that forbids them should escaping ever fail.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from results.analysis.aggregate import summary_json
from results.analysis.comparisons import comparisons_json
from results.analysis.settings import layer_numbers
from results.analysis.tables import PER_CENT, ResultTable, average_of
from results.errors import ReportError
from results.report.html import environment
from results.report.markdown import markdown_report
from results.report.plot import Plot, accuracy_plot, contests
from results.report.report_data import ReportData, layer_errors
from results.report.sweep_plot import sweep_panels
from results.report.table_formats import to_csv
from results.store import COMPARISONS, REPORT_HTML, REPORT_MARKDOWN, SUMMARY

Format = Literal["html", "md", "csv"]
MOST_TILES = 7  # more rows than this are a wall of numbers, and the table has them
WIDE, NARROW = 860, 360  # user units of the plot on a desk and on a phone


def render(folder: Path, format: Format) -> str:
    """The report of the run in `folder`, made from its files alone.

    Raises:
        RecordError: the folder is not a run's, or is broken.
        ReportError: there is no record yet, or the format is not one of html, md, csv.
    """
    return _written(ReportData(folder), format)


def write_reports(folder: Path) -> list[Path]:
    """Writes summary.json, comparisons.json, report.md and report.html into `folder`; returns their paths.

    Raises:
        RecordError, ReportError: as `render`.
    """
    run = ReportData(folder)
    return [
        run.store.write_text(SUMMARY, summary_json(run.all_cells)),
        run.store.write_text(COMPARISONS, comparisons_json(run.comparisons)),
        run.store.write_text(REPORT_MARKDOWN, _written(run, "md")),
        run.store.write_text(REPORT_HTML, _written(run, "html")),
    ]


def load_tables(folder: Path) -> list[ResultTable]:
    """The result tables of the run in `folder`, for `results.report.table_formats.to_rich`.

    Raises:
        RecordError, ReportError: as `render`.
    """
    return ReportData(folder).tables


def _written(run: ReportData, format: str) -> str:
    match format:
        case "html":
            return _html(run)
        case "md":
            return markdown_report(run)
        case "csv":
            return to_csv(run.tables)
    raise ReportError(f"a report is html, md or csv, got {format!r}: pass --format html")


def _html(run: ReportData) -> str:
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            panels=[(table, _plots(run, table), run.chance(table)) for table in run.tables],
            sweep_panels=sweep_panels(run, {"wide": WIDE, "narrow": NARROW}),
            config=json.dumps(run.store.config, indent=2, sort_keys=True),
            average_of=average_of,
            most_tiles=MOST_TILES,
            layer_errors=layer_errors,
            layer_numbers=layer_numbers,
        )
    )


def _plots(run: ReportData, table: ResultTable) -> list[list[tuple[str, Plot]]]:
    """Each plot in two widths, with the class that the style sheet shows or hides it by."""
    if table.unit != PER_CENT:  # metrics of several scales have no axis in common
        return []
    chance = run.chance(table)
    figures = []
    for numbers in contests(table):
        plots = [
            (name, accuracy_plot(table, numbers, chance, width)) for name, width in (("wide", WIDE), ("narrow", NARROW))
        ]
        figures.append([(name, plot) for name, plot in plots if plot is not None])
    return [figure for figure in figures if figure]
