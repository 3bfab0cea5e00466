"""Cells against hand-counted ones."""

import json
import random

import pytest

from results.analysis.aggregate import Cell, aggregate, summary_json
from results.analysis.settings import FEW_SHOT
from results.analysis.statistics import wilson
from results.errors import RecordError
from results.record import Call, MetricFacts
from results.run_facts import RunFacts


def test_schema_of_a_cell_is_frozen():
    assert sorted(Cell.model_fields) == sorted([
        "task", "setting", "tokenizer", "layers", "shuffled", "model", "data", "scoring", "prompt_style", "n", "scored",
        "failed", "infeasible", "empty", "refused", "cached", "metric", "value", "ci_low", "ci_high", "strict",
        "strict_n",
    ])  # fmt: skip


def test_only_scored_records_are_in_the_accuracy(key, of):
    none = {"scores": {}, "reply": None, "prediction": None}
    records = [
        of(key(), 0), of(key(), 1), of(key(), 2, scores={"accuracy": 0.0}), of(key(), 3, status="empty", **none),
        of(key(), 4, status="refused", **none), of(key(), 5, status="failed", **none),
        of(key(), 6, status="infeasible", **none), of(key(), 7, status="infeasible", **none),
    ]  # fmt: skip
    calls = [Call(record=r.id, cached=i < 3, seconds=1.0) for i, r in enumerate(records[:4])]
    [cell] = aggregate(records, calls)
    assert (cell.n, cell.scored, cell.empty, cell.refused, cell.failed, cell.infeasible, cell.cached) == (
        8,
        3,
        1,
        1,
        1,
        2,
        3,
    )
    assert cell.value == pytest.approx(2 / 3) and (cell.ci_low, cell.ci_high) == wilson(2, 3)


def test_nothing_scored_has_no_value(key, values):
    [cell] = aggregate(values(key(), [None, None]))
    assert cell.value is cell.ci_low is cell.ci_high is None and cell.infeasible == cell.n == 2


def test_values_other_than_0_and_1_have_a_bootstrap_interval(key, of):
    [cell] = aggregate([of(key(), i, scores={"cider": x}) for i, x in enumerate([0.2, 0.4, 0.9, 0.5])])
    assert cell.metric == "cider" and cell.value == pytest.approx(0.5)
    assert cell.ci_low < 0.5 < cell.ci_high


def seven(key, values, without=None, infeasible=None):
    """A row of 4 episodes a setting; setting i has i % 5 right."""
    return [
        record
        for i, setting in enumerate(FEW_SHOT)
        if setting != without
        for record in values(
            key(setting=setting), [None] * 4 if setting == infeasible else [float(j < i % 5) for j in range(4)]
        )
    ]


def test_average_is_the_mean_of_the_seven_settings(key, values):
    *cells, average = aggregate(seven(key, values))
    assert [cell.setting for cell in cells] == list(FEW_SHOT) and average.setting == "average"
    assert average.value == pytest.approx((0 + 1 + 2 + 3 + 4 + 0 + 1) / 4 / 7)
    assert average.n == average.scored == 28 and average.ci_low < average.value < average.ci_high


@pytest.mark.parametrize("how", ["without", "infeasible"])
def test_no_average_unless_all_seven_have_a_value(key, values, how):
    cells = aggregate(seven(key, values, **{how: "i1-s5-r0"}))
    assert "average" not in {cell.setting for cell in cells}


def test_order_of_the_records_does_not_matter(key, values, facts):
    records = seven(key, values) + values(key(tokenizer="vqgan", layers="1"), [1.0, 0.0, None])
    shuffled = records[:]
    random.Random(0).shuffle(shuffled)
    assert summary_json(aggregate(shuffled, (), facts)) == summary_json(aggregate(records, (), facts))
    assert [cell.tokenizer for cell in aggregate(shuffled, (), facts)] == ["vqgan"] + ["spae"] * 8


def test_the_summary_is_a_list_of_cells(key, values):
    cells = aggregate(values(key(), [1.0]))
    assert [Cell.model_validate(one) for one in json.loads(summary_json(cells))] == cells


@pytest.mark.parametrize("field", ["tokenizer_fingerprint", "model_revision", "dtype", "data_fingerprint", "seed"])
def test_records_that_only_look_alike_are_not_mixed(key, of, field):
    with pytest.raises(RecordError, match=field):
        aggregate([of(key()), of(key(**{field: "7"}))])


def test_strict_counts_empty_refused_and_failed_replies_as_wrong_and_no_prompt_that_does_not_fit(key, of, facts):
    none = {"scores": {}, "reply": None, "prediction": None}
    statuses = ("empty", "refused", "failed", "infeasible")
    records = [of(key(), i) for i in range(3)] + [of(key(), 3, scores={"accuracy": 0.0})]
    records += [of(key(), 4 + i, status=status, **none) for i, status in enumerate(statuses)]
    [cell] = aggregate(records, (), facts)
    assert (cell.value, cell.scored, cell.strict, cell.strict_n) == (3 / 4, 4, 3 / 7, 7)


def test_no_strict_value_where_it_would_be_the_same_or_there_is_no_worst_score(key, of, values, facts):
    [cell] = aggregate(values(key(), [1.0, None]), (), facts)
    assert cell.strict is None and cell.strict_n is None
    unbounded = RunFacts(metrics={"t": (MetricFacts(name="mse", unit="", higher_is_better=False, low=0.0),)})
    empty = of(key(task="t"), 1, scores={}, status="empty", prediction=None)
    [cell] = aggregate([of(key(task="t"), 0, scores={"mse": 0.5}), empty], (), unbounded)
    assert cell.value == 0.5 and cell.strict is None
    bounded = RunFacts(metrics={"t": (MetricFacts(name="mse", unit="", higher_is_better=False, low=0.0, high=4.0),)})
    [cell] = aggregate([of(key(task="t"), 0, scores={"mse": 0.5}), empty], (), bounded)
    assert (cell.strict, cell.strict_n) == (2.25, 2)


def test_a_row_of_which_nothing_is_scored_has_the_primary_metric(key, values, facts):
    [cell] = aggregate(values(key(), [None]), (), facts)
    assert (cell.metric, cell.value, cell.infeasible) == ("accuracy", None, 1)


def test_the_average_is_strict_where_a_setting_is(key, of, values, facts):
    records = seven(key, values)
    records.append(of(key(setting="i0-s1-r0"), 99, scores={}, status="refused", prediction=None))
    average = aggregate(records, (), facts)[-1]
    by_setting = {cell.setting: cell for cell in aggregate(records, (), facts)}
    expected = [by_setting[s].value if by_setting[s].strict is None else by_setting[s].strict for s in FEW_SHOT]
    assert average.strict == pytest.approx(sum(expected) / 7) and (average.scored, average.strict_n) == (28, 29)


def test_every_score_has_cells_of_its_own_the_primary_first(key, of):
    known = RunFacts(
        metrics={"t": tuple(MetricFacts(name=n, unit="", higher_is_better=True) for n in ("SSIM", "PSNR"))}
    )
    cells = aggregate([of(key(task="t"), i, scores={"PSNR": 20.0, "SSIM": 0.5 + i}) for i in range(2)], (), known)
    assert [(cell.metric, cell.value) for cell in cells] == [("SSIM", 1.0), ("PSNR", 20.0)]


def test_a_control_stands_below_what_it_controls_and_the_reference_last(key, values, facts):
    records = [
        record
        for name in ("spae", "aaa", "vqgan")
        for shuffled in (False, True)
        for record in values(key(tokenizer=name, shuffled=shuffled), [1.0])
    ]
    assert [cell.row.name for cell in aggregate(records, (), facts)] == [
        "vqgan", "vqgan (shuffled)", "aaa", "aaa (shuffled)", "spae", "spae (shuffled)",
    ]  # fmt: skip
