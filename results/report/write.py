"""The report of a run, made from the files of its folder: page, Markdown, CSV, JSON and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from results.analysis.aggregate import summary_json
from results.analysis.comparisons import comparisons_json
from results.analysis.tables import ResultTable
from results.errors import ReportError
from results.report.figures.figure import svg_and_png
from results.report.figures.registry import run_figures
from results.report.html import html_report
from results.report.markdown import markdown_report
from results.report.report_data import ReportData
from results.report.table_formats import to_csv
from results.store import COMPARISONS, REPORT_HTML, REPORT_MARKDOWN, SUMMARY, RunStore

Format = Literal["html", "md", "csv"]


class Reports(NamedTuple):
    """What `write_reports` made.

    Attributes:
        paths: of the files, summary.json first.
        tables: the result tables, for `results.report.table_formats.to_rich`.
    """

    paths: list[Path]
    tables: list[ResultTable]


def render(run: Path | RunStore, format: Format) -> str:
    """The report of a run, or of the run in a folder, as text; nothing is written.

    Raises:
        RecordError: the folder is not a run's, or is broken.
        ReportError: there is no record yet, or the format is not one of html, md, csv.
    """
    if format not in ("html", "md", "csv"):
        raise ReportError(f"a report is html, md or csv, got {format!r}: pass --format html")
    read = ReportData(run)
    if format == "md":
        return markdown_report(read)
    if format == "csv":
        return to_csv(read.tables)
    return html_report(read, [(figure, svg_and_png(figure)[0]) for figure in run_figures(read)])


def write_reports(folder: Path) -> Reports:
    """Writes summary.json, comparisons.json, report.md, report.html and figure-*.png into `folder`, read once.

    Raises:
        RecordError, ReportError: as `render`.
    """
    run = ReportData(folder)
    rendered = [(figure, *svg_and_png(figure)) for figure in run_figures(run)]
    paths = [
        run.store.write_text(SUMMARY, summary_json(run.all_cells)),
        run.store.write_text(COMPARISONS, comparisons_json(run.comparisons)),
        run.store.write_text(REPORT_MARKDOWN, markdown_report(run)),
        run.store.write_text(REPORT_HTML, html_report(run, [(figure, svg) for figure, svg, _ in rendered])),
    ]
    run.store.drop_figures()
    paths += [run.store.write_figure(figure.name, png) for figure, _, png in rendered]
    return Reports(paths, run.tables)
