"""An image's words as text."""

from __future__ import annotations

import pytest

from spae.errors import InputError
from spae.tokens import ImageTokens

TOKENS = ImageTokens(((7,), (1, 2, 3, 4)), (("lion",), ("sand", "sun", "fur", "tail")), ((1, 1), (2, 2)))


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([1], "lion"),
        ([2], "sand sun fur tail"),
        ([1, 2], "lion sand sun fur tail"),
        ([2, 1], "sand sun fur tail lion"),
        ([], ""),
    ],
)
def test_text_goes_layer_by_layer_in_the_order_asked(layers, text):
    assert TOKENS.text(layers) == text


def test_the_join_is_the_vocabularys():
    assert ImageTokens(((1, 2),), (("a", "b"),), ((1, 2),), join="|").text([1]) == "a|b"


@pytest.mark.parametrize("layer", [0, 3, -1])
def test_layers_that_do_not_exist_are_refused(layer):
    with pytest.raises(InputError, match="from 1 to 2"):
        TOKENS.text([1, layer])


@pytest.mark.parametrize(
    ("ids", "words", "grids"),
    [
        pytest.param(((1, 2),), (("a",),), ((1, 1),), id="ids"),
        pytest.param(((1,),), (("a", "b"),), ((1, 1),), id="words"),
        pytest.param(((1,),), (("a",),), ((1, 1), (2, 2)), id="layers"),
    ],
)
def test_layers_that_do_not_fill_their_grids_are_refused(ids, words, grids):
    with pytest.raises(InputError, match="per layer must be"):
        ImageTokens(ids, words, grids)
