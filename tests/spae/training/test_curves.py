"""Curves and sample grids: what is drawn, where."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from spae.training.curves import COLOURS, draw_curves, panels
from spae.training.sample_grid import GAP, still, write_grid

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
    with Image.open(tmp_path / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=int)
    at = np.argwhere(np.abs(pixels - COLOURS[0]).sum(2) < 20)
    line = at[at[:, 1] < 400]
    left, right = line[line[:, 1].argmin()], line[line[:, 1].argmax()]
    assert left[0] < 40 and right[0] > 250, "from the top left to the bottom right"


def test_little_logs_are_drawn_and_empty_ones_are_not(tmp_path):
    draw_curves([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    draw_curves([{"step": 3, "a/b": 2.0}], tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size[0] > 100


def test_a_grid_of_rows(tmp_path):
    rows = [torch.full((3, 3, 4, 5), value) for value in (-1.0, 1.0)]
    rows[1][2, 0] = -1.0  # the last picture lacks red
    write_grid(rows, tmp_path / "samples" / "grid.png")
    with Image.open(tmp_path / "samples" / "grid.png") as picture:
        grid = np.asarray(picture)
    assert grid.shape == (2 * 4 + GAP, 3 * 5 + 2 * GAP, 3)
    assert (grid[:4, :5] == 0).all() and (grid[4 : 4 + GAP] == 255).all()
    assert (grid[4 + GAP :, -5:] == (0, 255, 255)).all()


def test_of_a_clip_the_middle_frame():
    clip = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 3, 4, 2, 2)
    assert (still(clip) == 2).all() and still(clip[:, :, 0]).shape == (1, 3, 2, 2)
