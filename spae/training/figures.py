"""Figures of a run: training curves, as in Fig. 12 of arXiv 2306.17842, and grids of reconstructions.

P images, D layers, H W pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor
from torch.nn import functional as F
from torchvision.utils import make_grid, save_image

from spae.atomic import atomic_path
from spae.tokenizers.model import TokenizerModel

GRID_IMAGES = 12
GAP = 2
MIN_SIDE = 64  # smaller images are shown with larger pixels
LOG_RATIO = 30.0  # losses are on a logarithmic axis from this ratio of greatest to least
LOG_FLOOR = 1e-4  # of the greatest loss: smaller ones are cut off by a logarithmic axis
PANEL = (5.6, 3.0)  # width and height in inches
COLOURS = 10  # of matplotlib's cycle; further lines differ by their dashes
DASHES = ("-", "--", ":", "-.")
LEGEND_LINES = 12  # as many stand beside a panel
TRAINING = "train/loss"

Curve = list[tuple[int, float]]


def curves(log: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Curve]]:
    """The curves of a log by panel and name: families of metrics first, the losses of training last.

    Args:
        log: lines of `log.jsonl`: the step, and values by name.
    """
    panels: dict[str, dict[str, Curve]] = defaultdict(lambda: defaultdict(list))
    for line in log:
        for name, value in line.items():
            family, _, last = name.rpartition("/")
            if name == "step" or value is None or (name.startswith("train/") and family != TRAINING):
                continue
            panels[family][last].append((int(line["step"]), float(value)))
    return {family: panels[family] for family in sorted(panels, key=lambda family: (family == TRAINING, family))}


def write_curves(log: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a PNG with a panel a family of metrics, two to a row; no panel without a curve, no file without a panel."""
    panels = curves(log)
    if not panels:
        return
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for place, (title, lines) in zip(axes, panels.items(), strict=False):
        _plot(place, title, lines)
    for unused in axes[len(panels) :]:
        unused.remove()
    with atomic_path(path) as draft:
        figure.savefig(draft, format="png", dpi=100)


def _plot(axes: Axes, title: str, lines: Mapping[str, Curve]) -> None:
    for number, (name, curve) in enumerate(lines.items()):
        steps, values = zip(*curve, strict=True)
        dash, colour = divmod(number, COLOURS)
        axes.plot(
            steps, values, label=name, marker="." if len(curve) == 1 else None, color=f"C{colour}",
            linestyle=DASHES[dash % len(DASHES)],
        )  # fmt: skip
    low, high = (pick(value for curve in lines.values() for _, value in curve) for pick in (min, max))
    if title == TRAINING and low >= 0 and high > LOG_RATIO * low:
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(low, high * LOG_FLOOR))
    axes.set_title(title)
    axes.set_xlabel("steps")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(alpha=0.3)
    columns = -(-len(lines) // LEGEND_LINES)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small", frameon=False, ncols=columns)


@torch.no_grad()
def sample_rows(model: TokenizerModel, images: Tensor) -> list[Tensor]:
    """D + 1 rows [P, 3, H, W] in [-1, 1]: the images, then their reconstructions from layers 1..l.

    Args:
        model: in evaluation mode.
        images: [P, 3, H, W] or [P, 3, T, H, W] in [-1, 1], on the model's device.
    """
    quantized = model.encode(images)
    return [middle_frame(images), *(middle_frame(model.decode(one)).clamp(-1, 1) for one in quantized.embeddings)]


def middle_frame(images: Tensor) -> Tensor:
    """The middle frame of videos [P, 3, T, H, W]; images unchanged."""
    return images[:, :, images.shape[2] // 2] if images.ndim == 5 else images


def write_grid(rows: Sequence[Tensor], path: Path) -> None:
    """Write rows of images [P, 3, H, W] in [-1, 1] as one PNG with white lines between them."""
    scale = max(1, MIN_SIDE // rows[0].shape[-1])
    images = F.interpolate(torch.cat(list(rows)).float().cpu(), scale_factor=scale, mode="nearest")
    grid = make_grid((images + 1) / 2, nrow=len(rows[0]), padding=GAP, pad_value=1.0)
    with atomic_path(path) as draft:
        save_image(grid, draft, format="png")
