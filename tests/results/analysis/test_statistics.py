"""Statistics against published or hand-worked values, and against definitions written out."""

import math
from itertools import product

import pytest

from results.analysis.statistics import bootstrap_mean_of_rows, holm, mcnemar_exact, paired_bootstrap, sign_flip, wilson


@pytest.mark.parametrize(("right", "n", "low", "high"), [
    pytest.param(81, 263, 0.2553, 0.3662, id="newcombe-1998-a"),
    pytest.param(15, 148, 0.0624, 0.1605, id="newcombe-1998-b"),
    pytest.param(0, 20, 0.0000, 0.1611, id="newcombe-1998-none"),
    pytest.param(1, 29, 0.0061, 0.1718, id="newcombe-1998-one"),
])  # fmt: skip
def test_wilson_gives_the_published_intervals(right, n, low, high):
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("right", "n"), [(0, 7), (3, 7), (7, 7), (200, 400)])
def test_wilson_ends_solve_the_score_equation(right, n):
    for end in wilson(right, n):
        if 0 < end < 1:
            assert abs(right / n - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / n), rel=1e-5)


@pytest.mark.parametrize(("right", "n"), [(1, 0), (-1, 3), (4, 3)])
def test_wilson_refuses_what_is_no_proportion(right, n):
    with pytest.raises(ValueError, match="proportion"):
        wilson(right, n)


@pytest.mark.parametrize(("b", "c", "p"), [
    pytest.param(0, 0, 1.0, id="never-differ"),
    pytest.param(5, 5, 1.0, id="even"),
    pytest.param(0, 5, 2 / 32, id="five-to-none"),
    pytest.param(1, 9, 2 * (1 + 10) / 1024, id="nine-to-one"),
    pytest.param(2, 10, 2 * (1 + 12 + 66) / 4096, id="ten-to-two"),
])  # fmt: skip
def test_mcnemar_by_hand(b, c, p):
    assert mcnemar_exact(b, c) == mcnemar_exact(c, b) == pytest.approx(p, rel=1e-12)


def test_mcnemar_counts_every_outcome_at_least_as_far_out():
    outcomes = [sum(coins) for coins in product((0, 1), repeat=9)]
    expected = sum(abs(heads - 4.5) >= abs(2 - 4.5) for heads in outcomes) / len(outcomes)
    assert mcnemar_exact(2, 7) == pytest.approx(expected)


def test_mcnemar_of_large_counts_is_a_number():
    assert 0 < mcnemar_exact(900, 1200) < 1e-9


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_bootstrap_is_near_the_normal_interval_of_a_mean():
    values = [float(i % 5 == 0) for i in range(500)]
    half = 1.96 * math.sqrt(0.2 * 0.8 / 500)
    assert bootstrap_mean_of_rows([values]) == pytest.approx((0.2 - half, 0.2 + half), abs=0.004)


def test_bootstrap_keeps_the_columns_of_rows_together():
    values = [float(i % 2) for i in range(200)]
    alone = bootstrap_mean_of_rows([values])
    same = bootstrap_mean_of_rows([values, values])
    opposed = bootstrap_mean_of_rows([values, [1 - x for x in values]])
    assert same == pytest.approx(alone), "the same row twice knows no more than once"
    assert opposed == pytest.approx((0.5, 0.5)), "rows that cancel in every column have no spread"


def test_bootstrap_depends_on_its_seed_alone():
    values = [[math.sin(i) for i in range(40)], [None if i == 3 else math.cos(i) for i in range(40)]]
    assert bootstrap_mean_of_rows(values, 3) == bootstrap_mean_of_rows(values, 3) != bootstrap_mean_of_rows(values, 4)


def test_paired_bootstrap_sees_through_what_pairs_share():
    first = [float(i) for i in range(50)]
    assert paired_bootstrap(first, [x - 0.25 for x in first]) == pytest.approx((0.25, 0.25))
    with pytest.raises(ValueError, match="equal lengths"):
        paired_bootstrap([1.0], [])


@pytest.mark.parametrize("rows", [[], [[1.0], [1.0, 2.0]], [[1.0], [None]]])
def test_bootstrap_refuses_ragged_and_empty_rows(rows):
    with pytest.raises(ValueError, match="row"):
        bootstrap_mean_of_rows(rows)


@pytest.mark.parametrize("differences", [
    pytest.param([0.4, 0.1, -0.2, 0.3, 0.25, 0.6, 0.05], id="mixed"),
    pytest.param([0.1] * 6, id="all-one-way"),
    pytest.param([1.0, -1.0, 1.0, 1.0, 0.0], id="right-or-wrong"),
    pytest.param([0.0, 0.0], id="never-different"),
])  # fmt: skip
def test_sign_flip_comes_near_to_all_sign_flips(differences):
    seen = abs(sum(differences)) - 1e-12
    every = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= seen
             for signs in product((1, -1), repeat=len(differences))]  # fmt: skip
    exact = sum(every) / len(every)
    assert sign_flip(differences) == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 10_000) + 2e-4)
    assert sign_flip(differences) == sign_flip(differences) == sign_flip([-d for d in differences])


def test_sign_flip_is_mcnemar_of_right_and_wrong():
    assert sign_flip([1.0] * 14 + [-1.0] * 4 + [0.0] * 9) == pytest.approx(mcnemar_exact(14, 4), abs=0.006)


def test_sign_flip_needs_a_pair():
    with pytest.raises(ValueError, match="one pair"):
        sign_flip([])
