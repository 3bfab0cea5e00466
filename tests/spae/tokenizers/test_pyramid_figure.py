"""Figures of pyramids and grids of images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from spae.errors import InputError
from spae.tokenizers.pyramid_figure import pyramid_figure, save_figure, save_image_grid
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


def axes_of(figure):
    return [axes for panel in figure.subfigs for axes in panel.axes]


def test_image_and_reconstructions_come_first_each_with_its_title():
    red, blue = solid((200, 0, 0)), solid((0, 0, 200))
    shown = axes_of(pyramid_figure(red, [("layer 1", blue)], tokens_of(1, 2), (1, 2)))
    assert [axes.get_title(loc="left") for axes in shown] == ["image", "layer 1", "layer 1, 1 x 1", "layer 2, 2 x 2"]
    for axes, pixels in zip(shown, (red, blue), strict=False):
        assert np.array_equal(axes.images[0].get_array(), pixels)


@pytest.mark.parametrize("side", [1, 2, 4, 16])
def test_each_word_is_inside_its_cell(side, tmp_path):
    words = tuple(f"lion{i}" for i in range(side * side))
    tokens = ImageTokens((tuple(range(side * side)),), (words,), ((side, side),))
    figure = pyramid_figure(solid(255), [], tokens, (1,))
    save_figure(figure, tmp_path / "figure.png")
    axes = axes_of(figure)[1]
    assert len(axes.texts) == side * side
    for i, text in enumerate(axes.texts):
        assert text.get_text() == words[i]
        left, top = axes.transData.transform((i % side, i // side))
        right, bottom = axes.transData.transform((i % side + 1, i // side + 1))
        box = text.get_window_extent()
        assert left <= box.x0 and box.x1 <= right and bottom <= box.y0 and box.y1 <= top, words[i]


@pytest.mark.parametrize("word", ["w" * 5000, "\n\n", "\u0000", "猫", "\U0001f981", "", "$", "$x_", "\\frac"])
def test_words_of_any_length_and_kind_are_shown(word, tmp_path):
    save_figure(pyramid_figure(solid(90), [], tokens_of(1, 2, word=word), (1, 2)), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as sheet:
        assert sheet.width < 1000 and sheet.format == "PNG"


def test_only_the_layers_asked_for_are_shown():
    figure = pyramid_figure(solid(9), [], tokens_of(1, 2, 16), (2,))
    assert [axes.get_title(loc="left") for axes in axes_of(figure)] == ["image", "layer 2, 2 x 2"]
    for layers in ((), (4,), (0,)):
        with pytest.raises(InputError, match="layers run from 1 to 3"):
            pyramid_figure(solid(9), [], tokens_of(1, 2, 16), layers)


def test_coarse_layers_share_a_row_and_large_ones_have_their_own():
    figure = pyramid_figure(solid(9), [], tokens_of(1, 2, 4, 16, 16), (1, 2, 3, 4, 5))
    rows = [[axes.get_title(loc="left").split(",")[0] for axes in panel.axes] for panel in figure.subfigs]
    assert rows == [["image"], ["layer 1", "layer 2", "layer 3"], ["layer 4"], ["layer 5"]]


@pytest.mark.parametrize(("count", "shape"), [(1, (8, 8)), (2, (8, 18)), (5, (18, 28)), (9, (28, 28))])
def test_a_grid_keeps_every_pixel(count, shape, tmp_path):
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in range(count)]
    save_image_grid(images, tmp_path / "grid.png")
    sheet = np.asarray(Image.open(tmp_path / "grid.png"))
    assert sheet.shape[:2] == shape
    columns = (shape[1] + 2) // 10
    for i, image in enumerate(images):
        top, left = i // columns * 10, i % columns * 10
        assert (sheet[top : top + 8, left : left + 8] == image).all()
