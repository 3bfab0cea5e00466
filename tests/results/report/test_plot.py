"""The geometry of the accuracy plot."""

import pytest

from results.analysis.aggregate import aggregate
from results.analysis.tables import result_tables
from results.report.plot import accuracy_plot, contests, series_names


@pytest.fixture
def table(key, values):
    records = values(key(), [1.0, 1.0, 0.0, 0.0]) + values(key(tokenizer="vqgan", layers="1"), [0.0] * 4)
    return result_tables(aggregate(records))[0]


def test_marks_lie_on_the_scale(table):
    plot = accuracy_plot(table, (0, 1), {"i1-s1-r0": 20.0}, 860)
    at = {text: x for x, text in plot.ticks}
    vqgan, spae = plot.bands[0].marks
    assert spae.x == at["50"] and vqgan.x == at["0"] == vqgan.low and plot.chance == at["20"]
    assert spae.low < spae.x < spae.high and spae.x - spae.low == pytest.approx(spae.high - spae.x, abs=0.02)
    assert vqgan.y < spae.y < plot.bottom < plot.height


@pytest.mark.parametrize("width", [360, 860])
def test_nothing_lies_outside_and_bands_do_not_meet(fake_run, width):
    from results.report.write import load_tables

    plot = accuracy_plot(load_tables(fake_run)[0], (0, 1), {}, width)
    for band in plot.bands:
        for mark in band.marks:
            assert plot.left <= mark.low <= mark.x <= mark.high <= plot.right <= width
            assert band.y < mark.y < band.y + band.height
    assert all(a.y + a.height < b.y for a, b in zip(plot.bands, plot.bands[1:], strict=False))
    assert plot.chance is None and plot.bands[-1].average


def test_one_chance_line_only_where_it_is_one(table):
    assert accuracy_plot(table, (0, 1), {"i1-s1-r0": 20.0, "i1-s3-r0": 50.0}, 860).chance is None


def test_no_value_no_plot(key, values):
    assert accuracy_plot(result_tables(aggregate(values(key(), [None])))[0], (0,), {}, 860) is None


def test_names_tell_rows_apart_and_say_no_more(key, values):
    records = values(key(), [1.0]) + values(key(scoring="exact"), [1.0])
    rows = result_tables(aggregate(records))[0].groups[0].rows
    assert series_names(rows) == ("spae 1-2, exact, gpt", "spae 1-2, ranked, gpt")
    assert series_names(rows[:1]) == ("spae 1-2",)


def test_rows_that_may_not_be_compared_have_plots_of_their_own(key, values):
    keys = [key(tokenizer=t, scoring=s) for t in ("spae", "vqgan") for s in ("exact", "ranked")]
    table = result_tables(aggregate(record for one in keys for record in values(one, [1.0])))[0]
    assert [[table.groups[0].rows[n].scoring for n in group] for group in contests(table)] == [
        ["exact, gpt"] * 2,
        ["ranked, gpt"] * 2,
    ]


def test_a_row_looks_the_same_everywhere_and_like_no_other(key, values):
    records = [record for i in range(20) for record in values(key(tokenizer=f"t{i}"), [1.0])]
    table = result_tables(aggregate(records))[0]
    looks = {(series.number % 6, series.shape) for series in accuracy_plot(table, range(20), {}, 860).series}
    assert len(looks) == 20
    [late] = accuracy_plot(table, [7], {}, 860).series
    assert (late.number, late.shape) == (7, accuracy_plot(table, range(20), {}, 860).series[7].shape)
