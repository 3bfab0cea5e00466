"""WUPS against its definition: a similarity below the threshold counts a tenth."""

from __future__ import annotations

import pytest

from spae.metrics.wups import WUPS_METRICS, WUPS_THRESHOLDS, wups


@pytest.mark.parametrize(
    ("similarity", "threshold", "expected"),
    [(0.857, 0.9, 0.0857), (0.857, 0.0, 0.857), (0.9, 0.9, 0.9), (1.0, 0.9, 1.0), (0.0, 0.0, 0.0), (0.0, 0.9, 0.0)],
)
def test_below_the_threshold_a_tenth_counts(similarity, threshold, expected):
    assert wups(similarity, threshold) == pytest.approx(expected)


def test_the_names_state_the_thresholds():
    assert [one.name for one in WUPS_METRICS] == [f"WUPS@{threshold:.1f}" for threshold in WUPS_THRESHOLDS]
