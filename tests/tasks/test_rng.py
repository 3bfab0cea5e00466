"""Draws against hashes worked out with hashlib, and their fairness."""

import hashlib
from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.rng import Stream


def test_numbers_are_the_documented_hashes():
    stream = Stream("key")
    by_hand = [int(hashlib.sha256(f"key#{i}".encode()).hexdigest()[:16], 16) % 1000 for i in range(5)]
    assert [stream.below(1000) for _ in range(5)] == by_hand


def test_numbers_never_change():
    stream = Stream("spae")
    assert [stream.below(100) for _ in range(8)] == [49, 95, 57, 85, 83, 26, 83, 51]
    assert Stream("spae").sample("abcdefg", 7) == list("fgecdab")


def test_unfair_rest_is_drawn_again():
    n = (1 << 63) + 1  # almost half of all draws fall in the rest
    raw = [int(hashlib.sha256(f"again#{i}".encode()).hexdigest()[:16], 16) for i in range(40)]
    kept = [number for number in raw if number < n]
    assert len(kept) < 40
    stream = Stream("again")
    assert [stream.below(n) for _ in kept] == kept


@given(st.text(max_size=5), st.lists(st.integers(), max_size=12), st.data())
def test_a_smaller_sample_is_the_start_of_a_larger_one(key, items, data):
    count = data.draw(st.integers(0, len(items)))
    whole = Stream(key).sample(items, len(items))
    assert sorted(whole) == sorted(items)
    assert Stream(key).sample(items, count) == whole[:count]


def test_all_orders_are_as_likely():
    draws = 6000
    seen = Counter(tuple(Stream(f"order {i}").sample("abc", 3)) for i in range(draws))
    assert set(seen) == set(permutations("abc"))
    expected = draws / 6
    assert sum((count - expected) ** 2 / expected for count in seen.values()) < 20.5  # chi-square, 5 degrees, p = 0.001


@pytest.mark.parametrize("n", [0, -1, (1 << 64) + 1])
def test_bounds_of_below(n):
    with pytest.raises(ValueError, match="2\\*\\*64"):
        Stream("x").below(n)


@pytest.mark.parametrize("count", [-1, 4])
def test_bounds_of_sample(count):
    with pytest.raises(ValueError, match=r"0\.\.3"):
        Stream("x").sample("abc", count)
