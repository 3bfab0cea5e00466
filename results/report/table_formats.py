"""A `ResultTable` written to a console (rich), Markdown, CSV and HTML. Only writing: the layout is the table's."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from results.analysis.tables import EMPTY, LABELS, Entry, ResultTable
from results.report.display import csv_text, markdown_text, one_line
from results.report.html import environment


def to_rich(table: ResultTable) -> RenderableType:
    """For a terminal of 80 columns: what a row is of stacked in one column, intervals under their values."""
    grid = Table(box=box.SIMPLE_HEAD, title=Text(one_line(table.title)), title_justify="left", padding=(0, 1, 0, 0),
                 pad_edge=False)  # fmt: skip
    grid.add_column(Text("\n".join(label for label, _ in table.heads)), overflow="fold")
    for i in range(len(table.settings)):
        grid.add_column(Text("\n".join(one_line(texts[i]) for _, texts in table.heads)), justify="right", no_wrap=True)
    for group in table.groups:
        if group.source == "paper":
            grid.add_section()
        for row in group.rows:
            what = Text(f"{one_line(row.tokenizer)} {row.pyramid}", style="bold" if group.source == "run" else "dim")
            what.append(f"\n{one_line(row.llm)}; {one_line(row.scoring)}", style="not bold dim")
            grid.add_row(what, *(_rich_entry(entry, dim=group.source == "paper") for entry in row.entries))
    notes = [f"Lower rows: {group.caption[0].lower()}{group.caption[1:]}." for group in table.groups[1:]]
    return Group(grid, *(Text(note, style="dim") for note in (*notes, *table.footnotes)))


def _rich_entry(entry: Entry, dim: bool) -> Text:
    text = Text(entry.value_text, style="dim" if dim else "bold green" if entry.best else "")
    if entry.low is not None and entry.high is not None:
        text.append(f"\n{entry.low:.0f}\N{EN DASH}{entry.high:.0f}", style="not bold dim")
    return text


def to_markdown(table: ResultTable) -> str:
    """A GitHub table: the head rows, then the groups, each under its caption."""
    width = len(LABELS) + len(table.settings)
    lines = [f"### {markdown_text(table.title)}", ""]
    for number, (label, texts) in enumerate(table.heads):
        last = number == len(table.heads) - 1
        lead = [*LABELS[:-1], f"{LABELS[-1]} / {label}"] if last else ["", "", "", f"**{label}**"]
        lines.append(_markdown_line([*lead, *map(markdown_text, texts)]))
        if number == 0:
            lines.append(_markdown_line([":--"] * len(LABELS) + ["--:"] * len(table.settings)))
    for group in table.groups:
        lines.append(_markdown_line([f"**{markdown_text(group.caption)}**", *[""] * (width - 1)]))
        for row in group.rows:
            lines.append(_markdown_line([*map(markdown_text, row.labels), *map(_markdown_entry, row.entries)]))
    lines.append("")
    lines.extend(f"- {markdown_text(note)}" for note in table.footnotes)
    return "\n".join(lines) + "\n"


def _markdown_line(fields: Sequence[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def _markdown_entry(entry: Entry) -> str:
    text = f"**{entry.value_text}**" if entry.best else entry.value_text
    return f"{text} ({entry.interval_text})" if entry.interval_text else text


def to_csv(tables: Sequence[ResultTable]) -> str:
    """All tables, a line per row; per setting its value, low and high in per cent, empty where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    settings = list(dict.fromkeys(setting for table in tables for setting in table.settings))
    numbers = [name for setting in settings for name in (setting, f"{setting} low", f"{setting} high")]
    writer.writerow(["source", "task", "data", "metric", "tokenizer", "layers", "tokens", "llm", "scoring",
                     *map(csv_text, numbers)])  # fmt: skip
    for table in tables:
        for group in table.groups:
            for row in group.rows:
                entries = dict(zip(table.settings, row.entries, strict=True))
                texts = (group.source, table.task, "" if group.source == "paper" else table.data, table.metric,
                         row.tokenizer, row.layers, "" if row.tokens is None else str(row.tokens), row.llm,
                         row.scoring)  # fmt: skip
                fields = [field for setting in settings for field in _csv_entry(entries.get(setting))]
                writer.writerow([*map(csv_text, texts), *fields])
    return out.getvalue()


def _csv_entry(entry: Entry | None) -> tuple[str, str, str]:
    if entry is None or entry.value is None:
        return ("" if entry is None else EMPTY[entry.state], "", "")
    low, high = ("" if end is None else f"{end:.2f}" for end in (entry.low, entry.high))
    return (f"{entry.value:.2f}", low, high)


def to_html(table: ResultTable) -> str:
    """A `<table>` element, escaped; its style is the report's."""
    macros = environment().get_template("table.html.j2").module
    return str(macros.result_table(table))  # type: ignore[attr-defined]
