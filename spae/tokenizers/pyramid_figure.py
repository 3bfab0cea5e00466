"""A pyramid of words as an image: what went in, what comes back layer by layer, and each word on its part of it.

H W pixels, D layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spae.errors import InputError
from spae.tokenizers.shown_words import layer_rows
from spae.tokens import ImageTokens

THUMB = 128
"""Side of the images in the first row, in pixels."""
CELL = 56
"""Least side of a cell with a word."""
MARGIN, TITLE = 12, 18
INK, PAPER, LINE = (20, 20, 20), (255, 255, 255), (120, 120, 120)
SIZES = (13, 11, 9, 8)
"""Of the letters: the largest that fits the word into its cell."""


def draw_pyramid(
    image: np.ndarray, redrawn: Sequence[tuple[str, np.ndarray]], tokens: ImageTokens, layers: Sequence[int]
) -> Image.Image:
    """The image, its redrawings, and below them the words of each of `layers` (from 1) in its grid.

    Args:
        image: [H, W, 3] uint8, as the tokenizer saw it.
        redrawn: each with its title, [H, W, 3] uint8.
        tokens: of the image.

    Raises:
        InputError: a layer is not there.
    """
    if not layers or any(not 1 <= layer <= len(tokens.words) for layer in layers):
        raise InputError(f"layers run from 1 to {len(tokens.words)}, got {list(layers)}")
    thumbs = [_framed(title, _scaled(pixels, THUMB, THUMB)) for title, pixels in [("image", image), *redrawn]]
    panels = [_layer_panel(image, tokens, layer) for layer in layers]
    first = _side_by_side(thumbs)
    rows = [first, *_in_rows(panels, max(first.width, *(panel.width for panel in panels)))]
    sheet = Image.new(
        "RGB",
        (max(row.width for row in rows) + 2 * MARGIN, sum(row.height + MARGIN for row in rows) + MARGIN),
        PAPER,
    )
    top = MARGIN
    for row in rows:
        sheet.paste(row, (MARGIN, top))
        top += row.height + MARGIN
    return sheet


def image_grid(images: Sequence[np.ndarray], gap: int = 2) -> Image.Image:
    """Images [H, W, 3] uint8 of one size side by side, in about a square, `gap` white pixels between them.

    One image is left as it is.
    """
    columns = int(np.ceil(len(images) ** 0.5))
    rows = -(-len(images) // columns)
    height, width = images[0].shape[:2]
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, pixels in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = pixels
    return Image.fromarray(sheet)


def _layer_panel(image: np.ndarray, tokens: ImageTokens, layer: int) -> Image.Image:
    """The words of a layer, each on its part of the image, which is made pale."""
    rows, columns = tokens.grids[layer - 1]
    across = down = max(CELL, 2 * CELL // max(rows, columns))
    size = (across * columns, down * rows)
    pale = Image.blend(_scaled(image, *size), Image.new("RGB", size, PAPER), 0.72)
    draw = ImageDraw.Draw(pale)
    for i in range(1, columns):
        draw.line([(i * across, 0), (i * across, pale.height)], LINE)
    for i in range(1, rows):
        draw.line([(0, i * down), (pale.width, i * down)], LINE)
    for y, words in enumerate(layer_rows(tokens, layer)):
        for x, word in enumerate(words):
            shown, font = _fitted(word, across - 4)
            draw.text(((x + 0.5) * across, (y + 0.5) * down), shown, INK, font, anchor="mm")
    return _framed(f"layer {layer}, {rows} x {columns}", pale)


def _fitted(word: str, width: int) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """The word in the largest letters that fit; cut where none do. Line breaks and the like are shown as a mark."""
    word = "".join(letter if letter.isprintable() else "\ufffd" for letter in word)[:200]
    for size in SIZES:
        font = ImageFont.load_default(size)
        if font.getlength(word) <= width:
            return word, font
    while len(word) > 1 and font.getlength(word + "…") > width:
        word = word[:-1]
    return word + "…", font


def _scaled(pixels: np.ndarray, width: int, height: int) -> Image.Image:
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)


def _framed(title: str, image: Image.Image) -> Image.Image:
    font = ImageFont.load_default(12)
    sheet = Image.new("RGB", (max(image.width + 2, int(font.getlength(title)) + 2), image.height + TITLE + 2), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((0, 0), title, INK, font)
    draw.rectangle((0, TITLE, image.width + 1, TITLE + image.height + 1), outline=LINE)
    sheet.paste(image, (1, TITLE + 1))
    return sheet


def _side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (sum(one.width for one in images) + MARGIN * (len(images) - 1), _tallest(images)), PAPER)
    left = 0
    for one in images:
        sheet.paste(one, (left, 0))
        left += one.width + MARGIN
    return sheet


def _in_rows(images: Sequence[Image.Image], width: int) -> list[Image.Image]:
    """Images side by side, in as many rows as a width asks for."""
    rows: list[list[Image.Image]] = [[]]
    for one in images:
        if rows[-1] and sum(image.width + MARGIN for image in rows[-1]) + one.width > width:
            rows.append([])
        rows[-1].append(one)
    return [_side_by_side(row) for row in rows]


def _tallest(images: Sequence[Image.Image]) -> int:
    return max(one.height for one in images)
