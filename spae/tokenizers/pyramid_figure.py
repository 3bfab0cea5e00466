"""Figures of tokenized images: an image with its reconstructions and words by layer, and grids of images.

H W pixels, D layers.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from spae.atomic import atomic_path
from spae.errors import InputError
from spae.tokenizers.shown_words import layer_rows
from spae.tokens import ImageTokens

DPI = 100
WIDTH = 11.0  # of a row of panels, in inches, unless one is wider by itself
THUMBNAIL = 1.3  # least side of the images in the first row, in inches
CELL = 0.62  # side of a cell with a word, in inches
LEAST_PANEL = 2.6  # side of the words of a coarse layer, in inches
TITLE = 0.3  # height of a panel's title, in inches
FILLED = 0.9  # of a panel, by its words: margins take the rest
FADE = 0.28  # opacity of the image behind words
LETTER = 0.62  # width of a letter over the size of its font
FONT_SIZES = (5.0, 11.0)  # in points: words are scaled to their cell within these, and cut below
LONGEST_WORD = 200


def pyramid_figure(
    image: np.ndarray, reconstructions: Sequence[tuple[str, np.ndarray]], tokens: ImageTokens, layers: Sequence[int]
) -> Figure:
    """The image and its reconstructions, and below them the words of each of `layers` (from 1) over the image.

    Args:
        image: [H, W, 3] uint8, as the tokenizer sees it.
        reconstructions: each with its title, [H, W, 3] uint8.
        tokens: of the image.

    Raises:
        InputError: a layer that the tokens lack, or none.
    """
    if not layers or any(not 1 <= layer <= len(tokens.words) for layer in layers):
        raise InputError(f"layers run from 1 to {len(tokens.words)}, got {list(layers)}")
    images = [("image", image), *reconstructions]
    sides = {layer: max(LEAST_PANEL, CELL * max(tokens.grids[layer - 1])) for layer in layers}
    rows = _rows(sides)
    width = max(len(images) * THUMBNAIL, *(sum(sides[layer] for layer in row) for row in rows))
    heights = [min(LEAST_PANEL, width / len(images)), *(max(sides[layer] for layer in row) for row in rows)]
    figure = Figure(figsize=(width, sum(height + TITLE for height in heights)), layout="constrained")
    ratios = [height + TITLE for height in heights]
    first, *panels = figure.subfigures(1 + len(rows), 1, squeeze=False, height_ratios=ratios).flat
    for axes, (title, pixels) in zip(first.subplots(1, len(images), squeeze=False).flat, images, strict=True):
        _show(axes, title, pixels)
    for panel, row in zip(panels, rows, strict=True):
        places = panel.subplots(1, len(row), squeeze=False, width_ratios=[sides[layer] for layer in row])
        for axes, layer in zip(places.flat, row, strict=True):
            _show_words(axes, image, tokens, layer)
    return figure


def _rows(sides: Mapping[int, float]) -> list[list[int]]:
    """Layers in rows, as many in each as fit into WIDTH.

    Args:
        sides: of the layers' panels, in inches.
    """
    rows: list[list[int]] = []
    for layer, side in sides.items():
        if rows and sum(sides[one] for one in rows[-1]) + side <= WIDTH:
            rows[-1].append(layer)
        else:
            rows.append([layer])
    return rows


def save_figure(figure: Figure, path: Path) -> None:
    """Writes the figure as PNG; letters that the font lacks are shown as boxes."""
    with warnings.catch_warnings(), atomic_path(path) as draft:
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(draft, format="png", dpi=DPI)


def save_image_grid(images: Sequence[np.ndarray], path: Path, gap: int = 2) -> None:
    """Writes images [H, W, 3] uint8 of one size as one PNG, in about a square with `gap` white pixels between them.

    Every pixel stays as it is; a single image has nothing around it.
    """
    import torch
    from torchvision.utils import make_grid

    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    grid = make_grid(batch, nrow=int(np.ceil(len(images) ** 0.5)), padding=gap, pad_value=255)
    if len(images) > 1:  # make_grid pads the border, too
        grid = grid[:, gap:-gap, gap:-gap]
    with atomic_path(path) as draft:
        Image.fromarray(grid.permute(1, 2, 0).numpy()).save(draft, "PNG")


def _show(axes: Axes, title: str, pixels: np.ndarray) -> None:
    axes.imshow(pixels, interpolation="nearest")
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_axis_off()


def _show_words(axes: Axes, image: np.ndarray, tokens: ImageTokens, layer: int) -> None:
    """The words of a layer, each on its part of the faded image."""
    rows, columns = tokens.grids[layer - 1]
    axes.imshow(image, extent=(0, columns, rows, 0), alpha=FADE, interpolation="nearest")
    axes.set_title(f"layer {layer}, {rows} x {columns}", fontsize=9, loc="left")
    axes.set_xticks(range(columns + 1), labels=[])
    axes.set_yticks(range(rows + 1), labels=[])
    axes.grid(color="0.5", linewidth=0.5)
    axes.tick_params(length=0)
    cell = FILLED * max(CELL, LEAST_PANEL / max(rows, columns)) * 72  # points
    for y, words in enumerate(layer_rows(tokens, layer)):
        for x, word in enumerate(words):
            shown, size = _fitted(word, cell)
            # Not parsed: a word may be $, which starts a formula for matplotlib.
            axes.text(x + 0.5, y + 0.5, shown, fontsize=size, ha="center", va="center", clip_on=True, parse_math=False)


def _fitted(word: str, width: float) -> tuple[str, float]:
    """The word and a font size, in points, at which it is at most `width` points wide; cut where none is small enough.

    Line breaks and other unprintable characters are shown as a replacement character.
    """
    word = "".join(letter if letter.isprintable() else "\ufffd" for letter in word[:LONGEST_WORD])
    least, greatest = FONT_SIZES
    size = min(greatest, width / (LETTER * max(1, len(word))))
    if size >= least:
        return word, size
    return word[: int(width / (LETTER * least)) - 1] + "…", least
