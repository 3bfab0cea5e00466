"""Training curves and sample grids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from spae.training.figures import GAP, MIN_SIDE, curves, middle_frame, write_curves, write_grid

LOG = [
    {"step": 1, "train/loss/mse": 0.5, "train/loss/gan": 0.7, "train/z_norm": 3.0, "train/weighted/gan": 0.07},
    {"step": 1, "held_out/mse/layers_1-1": 0.4, "held_out/word_similarity/layer_1": 0.5},
    {"step": 2, "train/loss/mse": 0.25, "train/loss/gan": None},
    {"step": 2, "held_out/mse/layers_1-1": 0.2, "held_out/word_similarity/layer_1": 0.9},
]


def test_curves_are_grouped_by_family():
    assert curves(LOG) == {
        "held_out/mse": {"layers_1-1": [(1, 0.4), (2, 0.2)]},
        "held_out/word_similarity": {"layer_1": [(1, 0.5), (2, 0.9)]},
        "train/loss": {"mse": [(1, 0.5), (2, 0.25)], "gan": [(1, 0.7)]},
    }
    assert list(curves(LOG))[-1] == "train/loss"


@pytest.fixture
def axes_of(monkeypatch, tmp_path):
    """Writes the curves of a log; returns the axes of the figure that was saved."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **options: (figures.append(figure), save(figure, *args, **options))
    )

    def write(log):
        write_curves(log, tmp_path / "curves.png")
        return figures[-1].axes

    return write


def test_each_family_has_a_panel_with_its_curves(axes_of, tmp_path):
    shown = axes_of(LOG)
    assert [axes.get_title() for axes in shown] == ["held_out/mse", "held_out/word_similarity", "train/loss"]
    lines = {line.get_label(): line.get_xydata().tolist() for line in shown[2].get_lines()}
    assert lines == {"mse": [[1, 0.5], [2, 0.25]], "gan": [[1, 0.7]]}
    assert all(text.get_text() in lines for text in shown[2].get_legend().get_texts())
    with Image.open(tmp_path / "curves.png") as image:
        assert image.format == "PNG" and image.size == (1120, 600)


def test_every_line_of_a_panel_looks_different_and_no_panel_is_empty(axes_of):
    (axes,) = axes_of([{"step": step, **{f"a/layer_{n}": n for n in range(25)}, "b/x": None} for step in (1, 2)])
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(looks) == len(set(labels)) == 25


def test_one_point_is_visible_and_an_empty_log_writes_nothing(axes_of, tmp_path):
    (axes,) = axes_of([{"step": 3, "a/b": 2.0}])
    assert axes.get_lines()[0].get_marker() == "."
    write_curves([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize(
    ("name", "values", "scale"),
    [
        pytest.param("train/loss/a", (1.0, 0.1, 0.01), "log", id="losses-far-apart"),
        pytest.param("train/loss/a", (1.0, 0.5, 0.2), "linear", id="losses-close"),
        pytest.param("train/loss/a", (1.0, -0.5, 0.2), "linear", id="negative"),
        pytest.param("held_out/a", (1.0, 0.1, 0.01), "linear", id="metrics"),
    ],
)
def test_losses_far_apart_are_on_a_logarithmic_axis(axes_of, name, values, scale):
    (axes,) = axes_of([{"step": step, name: value} for step, value in enumerate(values)])
    assert axes.get_yscale() == scale


def test_logarithmic_axis_cuts_off_vanishing_losses(axes_of):
    (axes,) = axes_of([{"step": 1, "train/loss/a": 0.0, "train/loss/b": 1.0}, {"step": 2, "train/loss/b": 0.5}])
    assert axes.get_yscale() == "log" and axes.get_ylim()[0] == pytest.approx(1e-4)


def test_grid_has_a_row_of_images_each_with_white_gaps(tmp_path):
    high, wide = 40, 50  # not enlarged
    rows = [torch.full((3, 3, high, wide), value) for value in (-1.0, 1.0)]
    rows[1][2, 0] = -1.0  # the last image lacks red
    write_grid(rows, tmp_path / "samples" / "grid.png")
    with Image.open(tmp_path / "samples" / "grid.png") as image:
        grid = np.asarray(image)
    assert grid.shape == (2 * (high + GAP) + GAP, 3 * (wide + GAP) + GAP, 3)
    assert (grid[GAP : GAP + high, GAP : GAP + wide] == 0).all() and (grid[GAP + high : high + 2 * GAP] == 255).all()
    assert (grid[high + 2 * GAP : -GAP, -wide - GAP : -GAP] == (0, 255, 255)).all()


def test_small_images_are_enlarged(tmp_path):
    row = torch.full((2, 3, 16, 16), -1.0)
    row[:, :, 0, 0] = 1.0
    write_grid([row], tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        grid = np.asarray(image)
    each = MIN_SIDE // 16
    assert grid.shape[:2] == (MIN_SIDE + 2 * GAP, 2 * MIN_SIDE + 3 * GAP)
    grid = grid[GAP:-GAP, GAP : GAP + MIN_SIDE]
    assert (grid[:each, :each] == 255).all() and grid[:, each:].max() == 0 and grid[each:].max() == 0


def test_of_a_video_the_middle_frame_is_shown():
    video = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 3, 4, 2, 2)
    assert (middle_frame(video) == 2).all() and middle_frame(video[:, :, 0]).shape == (1, 3, 2, 2)
