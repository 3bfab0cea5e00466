"""Curves and sample grids: what is drawn, where."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from spae.training.curves import COLOURS, draw_curves, panels
from spae.training.sample_grid import GAP, LEAST_SIDE, still, write_grid

LOG = [
    {"step": 1, "train/loss/mse": 0.5, "train/loss/gan": 0.7, "train/z_norm": 3.0, "train/weighted/gan": 0.07},
    {"step": 1, "held_out/mse/layers_1-1": 0.4, "held_out/aptness/layer_1": 0.5},
    {"step": 2, "train/loss/mse": 0.25, "train/loss/gan": None},
    {"step": 2, "held_out/mse/layers_1-1": 0.2, "held_out/aptness/layer_1": 0.9},
]


def test_a_panel_a_family_and_a_line_a_figure():
    found = {panel.title: dict(panel.lines) for panel in panels(LOG)}
    assert found == {
        "held_out/aptness": {"layer_1": [(1, 0.5), (2, 0.9)]},
        "held_out/mse": {"layers_1-1": [(1, 0.4), (2, 0.2)]},
        "train/loss": {"mse": [(1, 0.5), (2, 0.25)], "gan": [(1, 0.7)]},
    }
    assert [panel.title for panel in panels(LOG)][-1] == "train/loss"


def test_lines_fall_where_figures_do(tmp_path):
    draw_curves([{"step": step, "a/b": 1.0 - 0.1 * step} for step in range(10)], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        pixels = np.asarray(image.convert("RGB"), dtype=int)
    at = np.argwhere(np.abs(pixels - COLOURS[0]).sum(2) < 20)
    line = at[at[:, 1] < 400]
    left, right = line[line[:, 1].argmin()], line[line[:, 1].argmax()]
    assert left[0] < 40 and right[0] > 250, "from the top left to the bottom right"


def test_little_logs_are_drawn_and_empty_ones_are_not(tmp_path):
    draw_curves([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    draw_curves([{"step": 3, "a/b": 2.0}], tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as image:
        assert image.size[0] > 100


def test_a_grid_of_rows(tmp_path):
    high, wide = 40, 50  # too large for its pixels to be drawn larger
    rows = [torch.full((3, 3, high, wide), value) for value in (-1.0, 1.0)]
    rows[1][2, 0] = -1.0  # the last image lacks red
    write_grid(rows, tmp_path / "samples" / "grid.png")
    with Image.open(tmp_path / "samples" / "grid.png") as image:
        grid = np.asarray(image)
    assert grid.shape == (2 * high + GAP, 3 * wide + 2 * GAP, 3)
    assert (grid[:high, :wide] == 0).all() and (grid[high : high + GAP] == 255).all()
    assert (grid[high + GAP :, -wide:] == (0, 255, 255)).all()


def test_small_images_have_larger_pixels(tmp_path):
    row = torch.full((1, 3, 16, 16), -1.0)
    row[:, :, 0, 0] = 1.0
    write_grid([row], tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        grid = np.asarray(image)
    each = LEAST_SIDE // 16
    assert grid.shape[:2] == (LEAST_SIDE, LEAST_SIDE)
    assert (grid[:each, :each] == 255).all() and grid[:, each:].max() == 0 and grid[each:].max() == 0


def test_losses_far_apart_are_on_a_logarithmic_axis(tmp_path):
    draw_curves([{"step": step, "train/loss/a": 10.0**-step} for step in (0, 1, 2)], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        pixels = np.asarray(image.convert("RGB"), dtype=int)
    at = np.argwhere(np.abs(pixels - COLOURS[0]).sum(2) < 20)
    line = at[at[:, 1] < 405]
    left, right = line[:, 1].min(), line[:, 1].max()
    middle = line[line[:, 1] == (left + right) // 2, 0].mean()
    assert abs(middle - (line[:, 0].min() + line[:, 0].max()) / 2) < 3, "equal ratios fall by equal heights"


def test_of_a_clip_the_middle_frame():
    clip = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 3, 4, 2, 2)
    assert (still(clip) == 2).all() and still(clip[:, :, 0]).shape == (1, 3, 2, 2)
