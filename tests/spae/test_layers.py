"""Layers as users type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spae.errors import InputError
from spae.layers import format_layers, parse_layers, select_layers


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, (1, 2, 3, 4)), ("1-3", (1, 2, 3)), ("2", (2,)), ("1,3", (1, 3)), ("3,1-2,2", (1, 2, 3)), ("4-4", (4,))],
)
def test_a_selection_is_ascending_and_has_each_layer_once(text, expected):
    assert select_layers(text, range(1, 5)) == expected


def test_ranges_stay_apart_in_the_order_typed():
    assert parse_layers("1-3,2,4-4") == [(1, 2, 3), (2,), (4,)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "takes layers from 1"), ("0", "takes layers from 1"), ("1-", "takes layers from 1"), ("a", "takes layers"),
        ("1..3", "takes layers"), ("-1", "takes layers"), ("1 2", "takes layers"), ("9" * 5000, "takes layers"),
        ("3-1", "runs upwards"), ("5", "no layer 5, only 1-4: pass --layers 1-4 or fewer"), ("1-99", "no layer 5"),
    ],
)  # fmt: skip
def test_other_text_is_refused_in_one_short_line(text, rule):
    with pytest.raises(InputError, match=rule) as caught:
        select_layers(text, range(1, 5))
    assert len(str(caught.value)) < 200


def test_only_available_layers_can_be_selected():
    assert select_layers(None, (2, 4)) == (2, 4)
    with pytest.raises(InputError, match="no layer 3, only 2,4"):
        select_layers("2-4", (2, 4))


@given(st.sets(st.integers(1, 99), min_size=1))
def test_formatted_layers_parse_back(layers):
    text = format_layers(sorted(layers))
    assert select_layers(text, range(1, 100)) == tuple(sorted(layers))
    assert "," not in text or len(parse_layers(text)) == text.count(",") + 1


def test_runs_are_written_as_ranges():
    assert [format_layers(one) for one in ((1,), (1, 2), (1, 3), (1, 2, 3, 5))] == ["1", "1-2", "1,3", "1-3,5"]
