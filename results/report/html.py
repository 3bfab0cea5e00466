"""The template environment of the HTML report: everything is escaped unless a template itself wrote it."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from results.analysis.comparisons import comparison_name
from results.analysis.settings import in_words
from results.report.display import one_line, p_text, percent, signed, visible


@cache
def environment() -> Environment:
    """Templates of `results/templates`; a name that a template misspells is an error."""
    made = Environment(
        loader=PackageLoader("results.report", "templates"),
        autoescape=True,  # for every file, whatever its ending
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        line=one_line, visible=visible, percent=percent, signed=signed, p=p_text, in_words=in_words,
        comparison_name=comparison_name,
    )  # fmt: skip
    return made
