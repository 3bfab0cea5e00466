"""Intervals and paired tests: plain numbers in, plain numbers out.

R settings, N episodes, K resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

Z_95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution
RESAMPLES = 10_000
CHUNK = 500  # resamples at a time: bounds the [CHUNK, N] matrix of counts
CACHED_N = 1000  # columns up to which resamples are kept: 2 * RESAMPLES * CACHED_N bytes, 20 MB


class Interval(NamedTuple):
    """A 95 % interval, in the unit of what it is an interval of."""

    low: float
    high: float


def wilson(right: int, n: int) -> Interval:
    """Wilson's 95 % score interval of a proportion (Wilson 1927), a fraction of 1.

    Unlike the normal interval it stays inside [0, 1] and has a width where all or none are right.

    Raises:
        ValueError: not 0 <= right <= n, or n is 0.
    """
    if not 0 <= right <= n or n == 0:
        raise ValueError(f"a proportion needs 0 <= right <= n and n >= 1, got {right} of {n}")
    p, z2 = right / n, Z_95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # at p = 0 and p = 1 an end is 0 or 1 exactly, and rounding would miss it by 1e-17
    return Interval(0.0 if right == 0 else centre - half, 1.0 if right == n else centre + half)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's exact test: given that one of two is right, is it either as often?

    Args:
        only_first: samples that the first got right and the second wrong.
        only_second: the other way round.

    Returns:
        Twice the smaller binomial tail at 1/2, at most 1; 1 where the two never differ.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts are 0 or more, got {only_first} and {only_second}")
    n = only_first + only_second
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << n))


def sign_flip(differences: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of a paired permutation test (Fisher): how often random signs give a mean as far from 0 as this one.

    For scores that are not just right or wrong; with those it is McNemar's test, sampled instead of counted.

    Args:
        differences: [N], first minus second of each pair, one at least.
        seed: of the signs; the same input and seed give the same p.

    Returns:
        (1 + flips as far or farther) / (1 + flips), so never below 1 / (1 + RESAMPLES).
    """
    if not differences:
        raise ValueError("a paired test needs one pair at least, got none")
    values = np.array(differences, dtype=float)
    # Sums of the same numbers in another order differ in their last bits: those count as equal.
    seen = abs(float(values.sum())) - 1e-9 * float(np.abs(values).sum())
    generator = np.random.default_rng(seed)
    far = 0
    for _ in range(RESAMPLES // CHUNK):
        signs = generator.integers(2, size=(CHUNK, len(values))) * 2.0 - 1.0
        far += int((np.abs(signs @ values) >= seen).sum())
    return (1 + far) / (1 + RESAMPLES)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for being several (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = highest
    return adjusted


def bootstrap_mean_of_rows(rows: Sequence[Sequence[float | None]], seed: int = 0) -> Interval:
    """95 % percentile interval of the mean of R row means, resampling whole columns.

    A column is an episode and a row a setting: the settings of an episode stay together, so whatever they share
    (classes, images) is in the interval, and nothing is assumed where they share nothing.

    Args:
        rows: [R, N]; None where the episode was not scored in that setting. Each row has a number.
        seed: of the resampling; the same input and seed give the same interval.

    Raises:
        ValueError: rows of different lengths, or a row without a number.
    """
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError(f"rows have one length, got {[len(row) for row in rows]}")
    known = np.array([[x is not None for x in row] for row in rows], dtype=float)
    values = np.array([[0.0 if x is None else x for x in row] for row in rows], dtype=float)
    if not known.any(axis=1).all():
        raise ValueError("every row needs a number, one has none")
    n = values.shape[1]
    means: list[np.ndarray] = []
    for counts in _resamples(n, seed) if n > CACHED_N else _cached_resamples(n, seed):
        weights = counts.astype(float)
        sizes = weights @ known.T  # [CHUNK, R]
        ok = (sizes > 0).all(axis=1)  # a resample may miss every scored episode of a nearly empty row
        means.append(((weights[ok] @ values.T) / sizes[ok]).mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Interval(float(low), float(high))


def _resamples(n: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n columns is in each of RESAMPLES resamples, [CHUNK, n] at a time."""
    generator = np.random.default_rng(seed)
    for _ in range(RESAMPLES // CHUNK):
        columns = generator.integers(n, size=(CHUNK, n)) + n * np.arange(CHUNK)[:, None]
        yield np.bincount(columns.ravel(), minlength=CHUNK * n).reshape(CHUNK, n)


@lru_cache(maxsize=8)
def _cached_resamples(n: int, seed: int) -> tuple[np.ndarray, ...]:
    """The same, kept: nearly all intervals of a report are of one n."""
    return tuple(counts.astype(np.uint16) for counts in _resamples(n, seed))


def paired_bootstrap(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Interval:
    """95 % interval of mean(first) - mean(second), where both are of the same N samples in the same order.

    Raises:
        ValueError: of different lengths, or empty.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"pairs need two equal lengths of 1 or more, got {len(first)} and {len(second)}")
    return bootstrap_mean_of_rows([[a - b for a, b in zip(first, second, strict=True)]], seed)
