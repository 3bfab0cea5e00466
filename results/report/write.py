"""The report of a run, made from the files of its folder: page, Markdown, CSV, JSON and figures."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, ValidationError

from results.analysis.aggregate import summary_json
from results.analysis.comparisons import comparisons_json
from results.analysis.tables import ResultTable
from results.errors import ReportError
from results.report.figures.figure import Figure, svg_and_png
from results.report.figures.registry import GROUP, run_figures
from results.report.html import html_report
from results.report.markdown import markdown_report
from results.report.report_data import ReportData
from results.report.table_formats import to_csv
from results.store import (
    CALLS,
    COMPARISONS,
    EXAMPLES,
    METRICS,
    RECORDS,
    REPORT_FACTS,
    REPORT_HTML,
    REPORT_MARKDOWN,
    RUN,
    SUMMARY,
    USAGE,
    RunStore,
)
from spae.canonical import Frozen, sha256_file, sha256_json
from spae.plugins import failed_in, plugins
from spae.regular_file import MOST_INDEX, read_json_text

log = logging.getLogger(__name__)

Format = Literal["html", "md", "csv"]


class ReportFacts(Frozen):
    """report.json: what a run's report was made of, and its tables."""

    inputs: str = Field(description="sha256 over the run's files and the code")
    outputs: dict[str, str] = Field(description="sha256 of each file of the report")
    unavailable: bool = Field(description="a metric could not be computed on this machine")
    tables: tuple[ResultTable, ...]


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
    return html_report(read, [(figure, svg) for figure, svg, _ in _plotted(read)])


def _plotted(run: ReportData) -> list[tuple[Figure, str, bytes]]:
    """Each figure with its SVG and its PNG. One of a plug-in that fails is left out, which is logged."""
    found = []
    for figure in run_figures(run):
        try:
            found.append((figure, *svg_and_png(figure)))
        except (Exception, SystemExit) as error:  # a stranger's code may raise anything
            failure = failed_in(error)
            if failure is None:
                raise
            log.warning("a figure is left out of the report: %s", failure)
    return found


def kept_tables(folder: Path) -> list[ResultTable] | None:
    """The tables of a run's report, if its files are those that `write_reports` would write now; else None.

    They are if all that they are made of is as it was: the run's files, this code and the figures of other packages.
    Metrics that could not be computed are tried again: what they need may be there now.
    """
    path = folder / REPORT_FACTS
    if not path.is_file():
        return None
    try:
        kept = ReportFacts.model_validate_json(read_json_text(path, MOST_INDEX))
    except (OSError, ValidationError):
        return None  # made again, like every other file of a report
    if kept.unavailable or kept.inputs != _inputs(folder) or kept.outputs != _hashes(folder, kept.outputs):
        return None
    return list(kept.tables)


def _inputs(folder: Path) -> str:
    """sha256 over everything that a report is made of."""
    plugged_in = [str(one) for one in plugins(GROUP)]
    return sha256_json(
        {"files": _hashes(folder, (RUN, RECORDS, CALLS, EXAMPLES, METRICS, USAGE)), "code": _code(), "more": plugged_in}
    )


@cache
def _code() -> str:
    """sha256 over this package's own files: an installed report is of the version that wrote it."""
    total = hashlib.sha256()
    home = Path(str(files("results")))
    for path in sorted([*home.glob("*.*"), *(home / "report").rglob("*.*"), *(home / "analysis").glob("*.*")]):
        if path.suffix != ".pyc" and path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


def _hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: sha256_file(folder / name) for name in names if (folder / name).is_file()}


def write_reports(folder: Path) -> Reports:
    """Writes summary.json, comparisons.json, report.md, report.html and figure-*.png into `folder`, read once.

    report.json says what they were made of (see `kept_tables`).

    Raises:
        RecordError, ReportError: as `render`.
    """
    inputs = _inputs(folder)
    run = ReportData(folder)
    rendered = _plotted(run)
    paths = [
        run.store.write_text(SUMMARY, summary_json(run.all_cells)),
        run.store.write_text(COMPARISONS, comparisons_json(run.comparisons)),
        run.store.write_text(REPORT_MARKDOWN, markdown_report(run)),
        run.store.write_text(REPORT_HTML, html_report(run, [(figure, svg) for figure, svg, _ in rendered])),
    ]
    run.store.drop_figures()
    paths += [run.store.write_figure(figure.name, png) for figure, _, png in rendered]
    facts = ReportFacts(
        inputs=inputs,
        outputs=_hashes(folder, [path.name for path in paths]),
        unavailable=bool(run.corpus and run.corpus.missing),
        tables=tuple(run.tables),
    )
    paths.append(run.store.write_text(REPORT_FACTS, facts.model_dump_json() + "\n"))
    return Reports(paths, run.tables)
