"""Positions and counts against the tables of the specification, written out."""

from __future__ import annotations

import itertools

import pytest

from spae.errors import InputError, UnknownName
from spae.pyramid import PRESETS, Pyramid, axis_positions


@pytest.mark.parametrize(
    ("size", "count", "positions"),
    [
        (16, 1, [8]),
        (16, 2, [4, 12]),
        (16, 4, [2, 6, 10, 14]),
        (16, 8, [1, 3, 5, 7, 9, 11, 13, 15]),
        (16, 16, list(range(16))),
        (4, 1, [2]),
        (4, 2, [1, 3]),
        (4, 4, [0, 1, 2, 3]),
        (1, 1, [0]),
        (9, 3, [1, 4, 7]),
    ],
)
def test_positions_on_an_axis(size, count, positions):
    assert axis_positions(size, count) == positions


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_equation_1_to_the_letter_where_the_ratio_is_even(count):
    ratio = 16 // count
    assert axis_positions(16, count) == [ratio * i - ratio // 2 for i in range(1, count + 1)]


@pytest.mark.parametrize(
    ("preset", "tokens", "cells", "depth"),
    [
        ("image", 597, 256, 6),
        ("image-8", 1109, 256, 8),
        ("image-256", 597, 256, 6),
        ("mnist", 37, 16, 4),
        ("picto", 37, 16, 4),
        ("video", 2197, 1024, 6),
    ],
)
def test_presets_have_the_stated_sizes(preset, tokens, cells, depth):
    pyramid = Pyramid.preset(preset)
    assert (pyramid.tokens, pyramid.cells, pyramid.depth) == (tokens, cells, depth)
    assert sum(len(pyramid.positions(layer)) for layer in range(1, depth + 1)) == tokens
    assert preset in PRESETS


def test_image_layers_are_in_raster_order():
    pyramid = Pyramid.preset("mnist")
    assert pyramid.positions(1) == (10,)
    assert pyramid.positions(2) == (5, 7, 13, 15)
    assert pyramid.positions(3) == pyramid.positions(4) == tuple(range(16))


def test_coarse_image_layers_are_disjoint():
    pyramid = Pyramid.preset("image")
    layers = [set(pyramid.positions(layer)) for layer in range(1, 5)]
    assert all(not a & b for a, b in itertools.combinations(layers, 2))
    assert pyramid.positions(2) == (4 * 16 + 4, 4 * 16 + 12, 12 * 16 + 4, 12 * 16 + 12)


def test_video_goes_frame_by_frame_then_row_by_row():
    pyramid = Pyramid.preset("video")
    assert pyramid.grid == (4, 16, 16)
    assert pyramid.positions(1) == (2 * 256 + 8 * 16 + 8,)
    assert pyramid.positions(2) == tuple(2 * 256 + row * 16 + column for row in (4, 12) for column in (4, 12))
    odd = range(1, 16, 2)
    assert pyramid.positions(4) == tuple(f * 256 + r * 16 + c for f in (1, 3) for r in odd for c in odd)
    assert pyramid.positions(6) == tuple(range(1024))


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(((1, 1), (3, 3), (4, 4)), id="3 on 4"),
        pytest.param(((8, 8), (4, 4)), id="finer than the last"),
        pytest.param(((2, 2), (1, 1), (4, 4)), id="out of order"),
        pytest.param(((2, 1), (1, 2), (4, 4)), id="out of order on one axis"),
        pytest.param(((1, 3), (4, 4)), id="3 on 4 on one axis"),
        pytest.param(((-1, 1), (4, 4)), id="negative"),
        pytest.param(((),), id="no axis"),
        pytest.param((1, (1, 2, 2)), id="a square and a box"),
        pytest.param(((0, 0), (4, 4)), id="nothing"),
        pytest.param(((1, 1), (2, 4, 4)), id="axes differ"),
        pytest.param((), id="no layer"),
    ],
)
def test_impossible_pyramids_are_refused_at_construction(layers):
    with pytest.raises(InputError):
        Pyramid(layers)


def test_a_number_is_the_side_of_a_square():
    pyramid = Pyramid([1, 2, [4, 4], 4])
    assert pyramid == Pyramid.preset("mnist") and hash(pyramid) == hash(Pyramid.preset("mnist"))
    assert pyramid.layers == ((1, 1), (2, 2), (4, 4), (4, 4))


def test_sides_need_not_be_equal_nor_ratios_even():
    pyramid = Pyramid(((1, 1, 1), (1, 2, 3), (2, 6, 9)))
    assert (pyramid.tokens, pyramid.cells, pyramid.grid) == (1 + 6 + 108, 108, (2, 6, 9))
    # Ratios 2, 6 and 9: 2 - 1, 6 - 3, 9 - 5.
    assert pyramid.positions(1) == (1 * 54 + 3 * 9 + 4,)
    # Ratios 2, 3 and 3: 1; 3 - 2 and 6 - 2; 1, 4 and 7.
    assert pyramid.positions(2) == tuple(54 + row * 9 + column for row in (1, 4) for column in (1, 4, 7))


def test_names_and_layers_that_do_not_exist():
    with pytest.raises(UnknownName, match="did you mean 'image'"):
        Pyramid.preset("imge")
    for layer in (0, 5, -1):
        with pytest.raises(InputError, match="from 1 to 4"):
            Pyramid.preset("mnist").positions(layer)
