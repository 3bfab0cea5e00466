"""A number is marked as the best only where the samples tell it from the next."""

import pytest

from results.analysis.aggregate import aggregate
from results.analysis.best import LEAST, BestMarks
from results.analysis.settings import FEW_SHOT
from results.analysis.statistics import paired_bootstrap
from results.record import MetricFacts
from results.run_facts import RunFacts


def marked(records, facts, setting="i1-s1-r0"):
    cells = aggregate(records, (), facts)
    return {row.name for row, at, _ in BestMarks(records, facts).among(cells) if at == setting}


def right(count, n):
    return [1.0] * count + [0.0] * (n - count)


@pytest.mark.parametrize(
    ("n", "spae", "vqgan", "best"),
    [
        pytest.param(LEAST, 25, 5, {"spae"}, id="apart"),
        pytest.param(LEAST - 1, 25, 5, set(), id="too few samples"),
        pytest.param(200, 101, 100, set(), id="within chance"),
        pytest.param(LEAST, 20, 20, set(), id="a tie"),
    ],
)
def test_the_paired_interval_decides(key, values, facts, n, spae, vqgan, best):
    # The right ones of one are the last of the other: as different as equal means can be.
    records = values(key(), right(spae, n)) + values(key(tokenizer="vqgan"), right(vqgan, n)[::-1])
    low, _ = paired_bootstrap(right(spae, n), right(vqgan, n)[::-1])
    assert (low > 0) == (spae - vqgan > 10)
    assert marked(records, facts) == best


def test_two_rows_that_agree_but_for_a_few_samples_are_told_apart_by_those(key, values, facts):
    records = values(key(), right(110, 200)) + values(key(tokenizer="vqgan"), right(100, 200))
    assert marked(records, facts) == {"spae"}, "the intervals of the two overlap, that of their difference leaves out 0"


def test_a_control_is_never_marked_and_must_be_beaten(key, values, facts):
    plain, control = values(key(), right(5, 40)), values(key(shuffled=True), right(35, 40))
    assert marked(plain + control, facts) == set()
    other = values(key(tokenizer="vqgan"), right(20, 40)[::-1])
    assert marked(plain + control + other, facts) == set(), "better than plain, but not than the control"
    assert marked(values(key(), right(35, 40)) + values(key(shuffled=True), right(5, 40)), facts) == {"spae"}


def test_a_row_alone_or_beside_rows_without_values_has_no_mark(key, values, facts):
    assert marked(values(key(), right(30, 40)), facts) == set()
    assert marked(values(key(), right(30, 40)) + values(key(tokenizer="vqgan"), [None] * 40), facts) == set()


def test_rows_of_other_models_and_rules_are_no_rivals(key, values, facts):
    records = [
        record
        for more, low in (({}, 5), ({"scoring": "exact"}, 5), ({"model": "big"}, 25))
        for name, count in (("spae", 30), ("vqgan", low))
        for record in values(key(tokenizer=name, **more), right(count, 40))
    ]
    cells = aggregate(records, (), facts)
    best = BestMarks(records, facts).among(cells)
    assert sorted((row.model, row.scoring) for row, _, _ in best) == [
        ("SmolLM2-135M-Instruct", "exact"), ("SmolLM2-135M-Instruct", "ranked"), ("big", "ranked"),
    ]  # fmt: skip


def test_the_average_is_told_apart_by_all_settings(key, values, facts):
    def rows(n, spae, vqgan):
        return [
            record
            for setting in FEW_SHOT
            for name, count in (("spae", spae), ("vqgan", vqgan))
            for record in values(key(setting=setting, tokenizer=name), right(count, n))
        ]

    assert marked(rows(40, 30, 10), facts, "average") == {"spae"}
    assert marked(rows(40, 20, 20), facts, "average") == set()
    assert marked(rows(20, 15, 5), facts, "average") == set()


def test_the_least_is_best_where_lower_is_better(key, of):
    lower = RunFacts(metrics={"t": (MetricFacts(name="mse", unit="", higher_is_better=False),)})
    records = [
        of(key(task="t", tokenizer=name), i, scores={"mse": value + i / 1000})
        for name, value in (("spae", 0.02), ("vqgan", 0.03))
        for i in range(40)
    ]
    assert marked(records, lower) == {"spae"}


def test_a_metric_without_values_by_sample_has_no_mark(key, values, facts):
    records = values(key(), right(40, 40)) + values(key(tokenizer="vqgan"), right(0, 40))
    cells = [cell.model_copy(update={"metric": "BLEU-4"}) for cell in aggregate(records, (), facts)]
    assert BestMarks(records, facts).among(cells) == set()
    by_sample = {
        (cell.row, cell.setting, "BLEU-4"): {f"{cell.setting}/{i}": cell.value or 0.0 for i in range(40)}
        for cell in cells
    }
    assert {row.name for row, _, _ in BestMarks(records, facts, by_sample).among(cells)} == {"spae"}
