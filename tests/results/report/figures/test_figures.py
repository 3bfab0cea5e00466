"""Figures: values lie where the table says, bytes are the same each time, and a strict page admits them."""

import re
from html.parser import HTMLParser

import pytest

from results.analysis.aggregate import aggregate
from results.analysis.tables import result_tables
from results.display import colour_numbers
from results.record import MetricFacts
from results.report.figures.figure import NARROW, SERIES, WIDE, Figure, label, svg_and_png
from results.report.figures.layers import look
from results.report.figures.registry import FIGURES, run_figures
from results.report.figures.settings import contests, row_looks, series_names
from results.report.report_data import ReportData
from results.report.write import render
from results.store import RunStore

NUMBERS = colour_numbers(["spae", "vqgan", "other"])
HOSTILE = "</svg><script>alert(1)</script>$\\frac$ \u202e\x1b[31m 学 &<\"'"


def figures(folder):
    return list(run_figures(ReportData(folder)))


def marks_of(axes):
    """(colour, x, y) of each value in the figure."""
    return [
        (line.get_color(), float(x), float(y))
        for line in axes.lines
        if line.get_marker() not in ("None", None, "") and len(line.get_xdata()) == 1
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_every_registered_figure_is_found_by_its_line():
    assert set(FIGURES) == {"settings", "layers"} and all(":" in target for target in FIGURES.values())


def test_a_figure_is_one_registry_line(fake_run, monkeypatch, tmp_path):
    (tmp_path / "my_figure.py").write_text(
        "from results.report.figures.figure import Figure\n"
        "def figures(run):\n"
        "    yield Figure('mine', 'results', f'{len(run.records)} records', 'none', None)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(FIGURES, "mine", "my_figure:figures")
    assert [figure.name for figure in figures(fake_run)] == ["settings-1-1", "mine"]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_marks_and_intervals_lie_at_the_values_of_the_table(fake_run, width):
    run = ReportData(fake_run)
    [figure] = run_figures(run)
    [axes] = figure.draw(width).axes
    marks = marks_of(axes)
    rows = run.tables[0].groups[0].rows
    colours = {"spae": SERIES[0], "vqgan": SERIES[1]}
    expected = [(colours[row.tokenizer], e.value) for c in range(8) for row in rows if (e := row.entries[c]).value]
    assert sorted((colour, x) for colour, x, _ in marks) == sorted(expected)
    assert len({y for _, _, y in marks}) == len(marks), "no two marks share a lane"
    ends = {tuple(map(float, line.get_xdata())) for line in axes.lines if line.get_alpha()}
    assert ends == {(e.low, e.high) for row in rows for e in row.entries if e.low is not None}
    assert axes.get_xlim() == (0.0, 100.0) and [t.get_text() for t in axes.get_yticklabels()][-1] == "average"


def test_the_chance_line_is_at_the_guess(fake_run):
    [figure] = figures(fake_run)
    [axes] = figure.draw(WIDE).axes
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert len(dashed) == 8 and {tuple(line.get_xdata()) for line in dashed} == {(20.0, 20.0)}
    assert "guess" in figure.caption


def test_no_value_no_figure(tmp_path, key, values):
    store = RunStore.create(tmp_path, {})
    store.append(values(key(), [None, None]))
    assert figures(tmp_path) == []


def test_the_summary_holds_every_value(fake_run):
    run = ReportData(fake_run)
    [figure] = run_figures(run)
    for row in run.tables[0].groups[0].rows:
        for entry in row.entries:
            assert entry.value is None or f"{entry.value_text} {entry.interval_text}".strip() in figure.summary


def test_names_tell_rows_apart_and_are_no_longer_than_needed(key, values):
    records = values(key(), [1.0]) + values(key(scoring="exact"), [1.0])
    rows = result_tables(aggregate(records))[0].groups[0].rows
    assert series_names(rows) == ("spae 1-2, exact, gpt", "spae 1-2, ranked, gpt")
    assert series_names(rows[:1]) == ("spae 1-2",)


def test_rows_that_may_not_be_compared_have_figures_of_their_own(key, values):
    keys = [key(tokenizer=t, scoring=s) for t in ("spae", "vqgan") for s in ("exact", "ranked")]
    table = result_tables(aggregate(record for one in keys for record in values(one, [1.0])))[0]
    assert [[table.groups[0].rows[n].scoring for n in group] for group in contests(table)] == [
        ["exact, gpt"] * 2,
        ["ranked, gpt"] * 2,
    ]


def test_curves_of_one_tokenizer_differ_in_marker_or_dash():
    assert len({look(number) for number in range(24)}) == 24


def test_a_tokenizer_has_one_colour_whatever_stands_beside_it(key, values):
    def looks(*keys):
        rows = result_tables(aggregate(record for one in keys for record in values(one, [1.0])))[0].groups[0].rows
        return {(row.tokenizer, row.layers): look for row, look in zip(rows, row_looks(rows, NUMBERS), strict=True)}

    all_rows = looks(key(), key(layers="1-3"), key(shuffled=True), key(tokenizer="vqgan"), key(tokenizer="other"))
    assert (
        all_rows["spae", "1-2"][0] == all_rows["spae", "1-3"][0] == all_rows["spae (shuffled)", "1-2"][0] == SERIES[0]
    )
    assert all_rows["spae", "1-2"][1] != all_rows["spae", "1-3"][1]
    assert looks(key(tokenizer="vqgan"), key(tokenizer="other")).items() <= all_rows.items()
    assert len({look[0] for look in all_rows.values()}) == 3


def test_the_page_has_the_colours_of_the_figures(fake_run):
    page = render(fake_run, "html")
    assert re.findall(r'class="tile c(\d)"><div class="name">(\w+)', page) == [("1", "vqgan"), ("0", "spae")]


def test_a_metric_that_is_no_percentage_has_an_axis_of_its_own(tmp_path, key, of):
    fid = MetricFacts(name="FID", unit="", higher_is_better=False)
    store = RunStore.create(tmp_path, {"metrics": {"t": [fid.model_dump()]}})
    store.append([of(key(task="t", setting="s"), i, scores={"FID": 150.0 + i}) for i in range(4)])
    [figure] = figures(tmp_path)
    [axes] = figure.draw(WIDE).axes
    low, high = axes.get_xlim()
    assert low < 151.5 < high and high - low < 50 and axes.get_xlabel() == "FID"
    assert "Lower is better." in figure.caption


def test_a_sweep_has_a_gap_where_there_is_no_value(tmp_path, key, values):
    store = RunStore.create(tmp_path, {})
    for layers, scores in (("1", [1.0, 0.0]), ("1-2", [None, None]), ("1-3", [1.0, 1.0])):
        store.append(values(key(layers=layers), scores))
    figure = figures(tmp_path)[-1]
    assert (
        figure.section == "layers"
        and "layers 1-3: " in figure.summary
        and "Without a value: 1 shot, 1-2: -" in (figure.caption)
    )
    [axes] = figure.draw(WIDE).axes
    [curve] = [line for line in axes.lines if len(line.get_xdata()) == 3]
    plotted = list(curve.get_ydata())
    assert [plotted[0], plotted[2]] == [0.5, 1.0] and plotted[1] != plotted[1]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "1-2", "1-3"]


class Svg(HTMLParser):
    """Tags, attributes and text of an SVG element inside a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data.strip())


def hostile_run(folder, key, values):
    store = RunStore.create(folder, {})
    for tokenizer in (HOSTILE, HOSTILE + "2"):
        store.append(values(key(task="t", tokenizer=tokenizer, model=HOSTILE, setting=HOSTILE), [1.0, 0.0]))
    return folder


def test_hostile_names_are_text_and_svg_has_nothing_a_strict_policy_forbids(tmp_path, key, values):
    [figure] = figures(hostile_run(tmp_path, key, values))
    text, png = svg_and_png(figure)
    page = Svg(text)
    assert set(page.tags) <= {"svg", "g", "path", "defs", "use", "text", "tspan", "clippath", "rect"}
    names = {name for name, _ in page.attributes}
    assert "style" not in names and not any(name.startswith("on") for name in names)
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert "<script" not in text and "\u202e" not in text and "\x1b" not in text and "<?xml" not in text
    assert any("<script>alert(1)</script>$\\frac$ ⟨U+202E⟩" in one for one in page.texts)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")


def test_ids_are_unique_in_a_page_and_references_hold(fake_run):
    run = ReportData(fake_run)
    [figure] = run_figures(run)
    again = Figure("other", figure.section, figure.caption, figure.summary, figure.draw)
    text = svg_and_png(figure)[0] + svg_and_png(again)[0]
    attributes = Svg(text).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 4
    used = {value[1:] for name, value in attributes if name == "href"} | set(re.findall(r"url\(#([^)]*)\)", text))
    assert used <= set(ids)


def test_equal_data_give_equal_bytes(fake_run, tmp_path, monkeypatch):
    first = svg_and_png(figures(fake_run)[0])
    (tmp_path / "matplotlibrc").write_text("font.size: 33\naxes.facecolor: red\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "matplotlibrc"))
    assert svg_and_png(figures(fake_run)[0]) == first


def test_labels_are_one_short_line():
    assert label("a\nb") == "a⏎b" and len(label("x" * 500)) == 64 and label("x" * 500).endswith("…")
