"""A `ResultTable` written to a console (rich), Markdown and CSV. Only writing: the layout is the table's."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from results.analysis.tables import EMPTY, LABELS, Entry, ResultTable
from results.display import csv_text, markdown_text, number, one_line


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
            what.append(f"\n{one_line(row.model)}; {one_line(row.scoring)}", style="not bold dim")
            grid.add_row(what, *(_rich_entry(entry, dim=group.source == "paper") for entry in row.entries))
    strict = any(entry.strict is not None for group in table.groups for row in group.rows for entry in row.entries)
    notes = ["=: the strict value, and n of both"] if strict else []
    notes += [f"Lower rows: {group.caption[0].lower()}{group.caption[1:]}." for group in table.groups[1:]]
    return Group(grid, *(Text(note, style="dim") for note in (*notes, *table.footnotes)))


def _rich_entry(entry: Entry, dim: bool) -> Text:
    text = Text(entry.value_text, style="dim" if dim else "bold green" if entry.best else "")
    if entry.low is not None and entry.high is not None:
        ends = (f"{end:.0f}" if entry.percentage else number(end, False) for end in (entry.low, entry.high))
        text.append("\n" + "\N{EN DASH}".join(ends), style="not bold dim")
    if entry.strict is not None:
        strict = number(entry.strict, entry.percentage)
        text.append(f"\n={strict}\n{entry.scored}/{entry.strict_n}", style="not bold dim")
    return text


def to_markdown(table: ResultTable) -> str:
    """A GitHub table: the head rows, then the groups, each under its caption."""
    width = len(LABELS) + len(table.settings)
    lines = [f"### {markdown_text(table.title)}", ""]
    for place, (label, texts) in enumerate(table.heads):
        last = place == len(table.heads) - 1
        lead = [*LABELS[:-1], f"{LABELS[-1]} / {label}"] if last else ["", "", "", f"**{label}**"]
        lines.append(_markdown_line([*lead, *map(markdown_text, texts)]))
        if place == 0:
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
    more = "; ".join(filter(None, (entry.interval_text, entry.strict_text)))
    return f"{text} ({more})" if more else text


def to_csv(tables: Sequence[ResultTable]) -> str:
    """All tables, a line per row; per setting its value, low, high and strict value as shown, empty for none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    settings = list(dict.fromkeys(setting for table in tables for setting in table.settings))
    numbers = [f"{setting}{end}" for setting in settings for end in ("", " low", " high", " strict")]
    writer.writerow(["source", "task", "data", "metric", "tokenizer", "layers", "tokens", "model", "scoring",
                     *map(csv_text, numbers)])  # fmt: skip
    for table in tables:
        for group in table.groups:
            for row in group.rows:
                entries = dict(zip(table.settings, row.entries, strict=True))
                texts = (group.source, table.task, "" if group.source == "paper" else table.data, table.metric,
                         row.tokenizer, row.layers, "" if row.tokens is None else str(row.tokens), row.model,
                         row.scoring)  # fmt: skip
                fields = [field for setting in settings for field in _csv_entry(entries.get(setting))]
                writer.writerow([*map(csv_text, texts), *fields])
    return out.getvalue()


def _csv_entry(entry: Entry | None) -> tuple[str, ...]:
    if entry is None:
        return ("", "", "", "")
    form = ".2f" if entry.percentage else ".6g"
    numbers = ["" if one is None else format(one, form) for one in (entry.value, entry.low, entry.high, entry.strict)]
    return (numbers[0] or EMPTY[entry.state], *numbers[1:])
