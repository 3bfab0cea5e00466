"""Pyramids drawn: where things are on the sheet."""

from __future__ import annotations

import numpy as np
import pytest

from spae.errors import InputError
from spae.tokenizers.pyramid_figure import CELL, MARGIN, THUMB, TITLE, draw_pyramid, image_grid
from spae.tokens import ImageTokens


def tokens_of(*sides, word="word"):
    counts = [side * side for side in sides]
    return ImageTokens(
        tuple(tuple(range(count)) for count in counts),
        tuple((word,) * count for count in counts),
        tuple((side, side) for side in sides),
    )


def solid(colour, side=8):
    return np.full((side, side, 3), colour, np.uint8)


def test_image_and_redrawings_stand_side_by_side():
    sheet = np.asarray(draw_pyramid(solid((200, 0, 0)), [("layer 1", solid((0, 0, 200)))], tokens_of(1), (1,)))
    top, left = MARGIN + TITLE + 1, MARGIN + 1
    assert (sheet[top : top + THUMB, left : left + THUMB] == (200, 0, 0)).all()
    left += THUMB + 2 + MARGIN
    assert (sheet[top : top + THUMB, left : left + THUMB] == (0, 0, 200)).all()


@pytest.mark.parametrize("side", [1, 2, 4, 16])
def test_each_word_stands_in_its_cell(side):
    """Cells with a word hold ink, those without hold none."""
    whole = tokens_of(side)
    words = tuple("" if i % 3 else "lion" for i in range(side * side))
    one = ImageTokens(whole.ids, (words,), whole.grids)
    sheet = np.asarray(draw_pyramid(solid(255), [], one, (1,)))
    cell = max(CELL, 2 * CELL // side)
    top, left = 2 * MARGIN + 2 * (TITLE + 1) + THUMB + 1, MARGIN + 1
    for i, word in enumerate(words):
        y, x = top + i // side * cell, left + i % side * cell
        inner = sheet[y + 3 : y + cell - 3, x + 3 : x + cell - 3]
        assert (inner.min() < 100) == bool(word), f"cell {i}"


def test_words_of_any_length_and_kind_are_drawn():
    for word in ("w" * 5000, "\n\n", "\u0000", "猫", "\U0001f981", ""):
        assert draw_pyramid(solid(90), [], tokens_of(1, 2, word=word), (1, 2)).width < 1000


def test_only_the_layers_asked_for():
    few = draw_pyramid(solid(9), [], tokens_of(1, 2, 16), (1, 2))
    many = draw_pyramid(solid(9), [], tokens_of(1, 2, 16), (1, 2, 3))
    assert many.width >= 16 * CELL > few.width and many.height >= 16 * CELL > few.height
    for layers in ((), (4,), (0,)):
        with pytest.raises(InputError, match="layers run from 1 to 3"):
            draw_pyramid(solid(9), [], tokens_of(1, 2, 16), layers)


@pytest.mark.parametrize(("count", "shape"), [(1, (8, 8)), (2, (8, 18)), (5, (18, 28)), (9, (28, 28))])
def test_a_grid_keeps_every_pixel(count, shape):
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in range(count)]
    sheet = np.asarray(image_grid(images))
    assert sheet.shape[:2] == shape
    columns = (shape[1] + 2) // 10
    for i, image in enumerate(images):
        top, left = i // columns * 10, i % columns * 10
        assert (sheet[top : top + 8, left : left + 8] == image).all()
