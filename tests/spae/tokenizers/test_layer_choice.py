"""Layers as users type them."""

from __future__ import annotations

import pytest

from spae.errors import InputError
from spae.tokenizers.layer_choice import layer_choice


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, (1, 2, 3, 4)), ("1-3", (1, 2, 3)), ("2", (2,)), ("1,3", (1, 3)), ("3,1-2,2", (1, 2, 3)), ("4-4", (4,))],
)
def test_what_may_be_asked_for(text, expected):
    assert layer_choice(text, range(1, 5)) == expected


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "takes layers from 1"), ("0", "takes layers from 1"), ("1-", "takes layers from 1"), ("a", "takes layers"),
        ("1..3", "takes layers"), ("-1", "takes layers"), ("1 2", "takes layers"), ("9" * 5000, "takes layers"),
        ("3-1", "runs upwards"), ("5", "no layer 5, only 1,2,3,4: --layers 1-4 or fewer"), ("1-99", "no layer 5"),
    ],
)  # fmt: skip
def test_what_may_not(text, rule):
    with pytest.raises(InputError, match=rule) as caught:
        layer_choice(text, range(1, 5))
    assert len(str(caught.value)) < 200


def test_layers_that_a_file_lacks():
    assert layer_choice(None, (2, 4)) == (2, 4)
    with pytest.raises(InputError, match="no layer 3, only 2,4"):
        layer_choice("2-4", (2, 4))
