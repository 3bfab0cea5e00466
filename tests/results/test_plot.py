"""The geometry of the accuracy plot."""

import pytest

from results.aggregate import aggregate
from results.plot import accuracy_plot, series_names
from results.tables import result_tables


@pytest.fixture
def table(key, values):
    records = values(key(), [1.0, 1.0, 0.0, 0.0]) + values(key(tokenizer="vqgan", layers="1"), [0.0] * 4)
    return result_tables(aggregate(records))[0]


def test_marks_lie_on_the_scale(table):
    plot = accuracy_plot(table, {"i1-s1-r0": 20.0}, 860)
    at = {text: x for x, text in plot.ticks}
    vqgan, spae = plot.bands[0].marks
    assert spae.x == at["50"] and vqgan.x == at["0"] == vqgan.low and plot.chance == at["20"]
    assert spae.low < spae.x < spae.high and spae.x - spae.low == pytest.approx(spae.high - spae.x, abs=0.02)
    assert vqgan.y < spae.y < plot.bottom < plot.height


@pytest.mark.parametrize("width", [360, 860])
def test_nothing_lies_outside_and_bands_do_not_meet(fake_run, width):
    from results.report import load_tables

    plot = accuracy_plot(load_tables(fake_run)[0], {}, width)
    for band in plot.bands:
        for mark in band.marks:
            assert plot.left <= mark.low <= mark.x <= mark.high <= plot.right <= width
            assert band.y < mark.y < band.y + band.height
    assert all(a.y + a.height < b.y for a, b in zip(plot.bands, plot.bands[1:], strict=False))
    assert plot.chance is None and plot.bands[-1].average


def test_one_chance_line_only_where_it_is_one(table):
    assert accuracy_plot(table, {"i1-s1-r0": 20.0, "i1-s3-r0": 50.0}, 860).chance is None


def test_no_value_no_plot(key, values):
    assert accuracy_plot(result_tables(aggregate(values(key(), [None])))[0], {}, 860) is None


def test_names_tell_rows_apart_and_say_no_more(key, values):
    records = values(key(), [1.0]) + values(key(scoring="exact"), [1.0])
    rows = result_tables(aggregate(records))[0].groups[0].rows
    assert series_names(rows) == ("spae 1-2, exact, gpt", "spae 1-2, ranked, gpt")
    assert series_names(rows[:1]) == ("spae 1-2",)
