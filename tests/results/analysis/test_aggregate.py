"""Cells against hand-counted ones."""

import json
import random

import pytest

from results.analysis.aggregate import Cell, aggregate, summary_json
from results.analysis.settings import FEW_SHOT
from results.analysis.statistics import wilson
from results.errors import RecordError
from results.record import Call


def test_schema_of_a_cell_is_frozen():
    assert sorted(Cell.model_fields) == sorted([
        "task", "setting", "tokenizer", "layers", "shuffled", "model", "data", "scoring", "prompt_style", "n", "scored",
        "failed", "infeasible", "empty", "refused", "cached", "metric", "value", "ci_low", "ci_high",
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


def test_order_of_the_records_does_not_matter(key, values):
    records = seven(key, values) + values(key(tokenizer="vqgan", layers="1"), [1.0, 0.0, None])
    shuffled = records[:]
    random.Random(0).shuffle(shuffled)
    assert summary_json(aggregate(shuffled)) == summary_json(aggregate(records))
    assert [cell.tokenizer for cell in aggregate(shuffled)] == ["vqgan"] + ["spae"] * 8


def test_the_summary_is_a_list_of_cells(key, values):
    cells = aggregate(values(key(), [1.0]))
    assert [Cell.model_validate(one) for one in json.loads(summary_json(cells))] == cells


@pytest.mark.parametrize("field", ["tokenizer_fingerprint", "model_revision", "dtype", "data_fingerprint", "seed"])
def test_records_that_only_look_alike_are_not_mixed(key, of, field):
    with pytest.raises(RecordError, match=field):
        aggregate([of(key()), of(key(**{field: "7"}))])
