"""The same table in three formats: against committed files, and against hostile names."""

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from results.analysis.tables import result_tables
from results.report.report_data import ReportData
from results.report.table_formats import to_csv, to_markdown, to_rich

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = "<script>alert(1)</script>|[red]\x1b[31m\u202e\n\"'`"


@pytest.fixture
def hostile(key, values):
    from results.analysis.aggregate import aggregate

    return result_tables(
        aggregate(values(key(tokenizer=HOSTILE, model="=1+1", task="t", setting=HOSTILE), [1.0, 0.0]))
    )[0]


def rich_text(table, width=80):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(to_rich(table))
    return out.getvalue()


@pytest.mark.parametrize("name", ["table.md", "table.csv", "table.txt"])
def test_formats_equal_the_committed_files(fake_run, name):
    tables = ReportData(fake_run).tables
    made = {
        "md": to_markdown(tables[0]),
        "csv": to_csv(tables),
        "txt": rich_text(tables[0]),
    }
    assert made[name.rpartition(".")[2]] == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_format_holds_every_number(fake_run):
    [table] = ReportData(fake_run).tables
    numbers = [e.value_text for group in table.groups for row in group.rows for e in row.entries if e.value is not None]
    for text in (to_markdown(table), rich_text(table)):
        assert all(text.count(number) >= numbers.count(number) for number in numbers)


def test_console_fits_80_columns(fake_run):
    assert max(len(line) for line in rich_text(ReportData(fake_run).tables[0]).splitlines()) <= 80


def test_csv_is_rectangular_and_runs_nothing(fake_run, hostile):
    rows = list(csv.reader(io.StringIO(to_csv([*ReportData(fake_run).tables, hostile]))))
    assert len({len(row) for row in rows}) == 1 and rows[-1][7] == "'=1+1"
    assert not any(field[:1] in "=+@" for row in rows for field in row if field)


def test_hostile_names_stay_text(hostile):
    text, console = to_markdown(hostile), rich_text(hostile, 200)
    assert "<script" not in text and "\\|" in text and len(text.splitlines()[4].replace("\\|", "").split("|")) == 7
    assert "[red]" in console, "markup of rich is not read"
    assert not any(char in made for made in (text, console) for char in "\x1b\u202e")
