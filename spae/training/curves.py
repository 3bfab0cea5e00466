"""Training curves, as Fig. 12 of arXiv 2306.17842 has them: how redrawing and words come along, drawn from `log.jsonl`.

One panel a family of figures, a line a figure; losses, which differ by orders of magnitude, on a logarithmic axis.
Drawn with Pillow, which is here anyway, at twice the size and shrunk, for it draws no smooth lines.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from spae.atomic import atomic_path

FINE = 2
WIDTH, HEIGHT = 560 * FINE, 300 * FINE
LEFT, RIGHT, TOP, BOTTOM = 64 * FINE, 150 * FINE, 28 * FINE, 30 * FINE
LEAST = 1e-4  # of the greatest loss: what is less is drawn at the foot of a logarithmic axis
LOG_FROM = 30.0  # the ratio of greatest to least from which losses are drawn on a logarithmic axis
INK, PALE = (40, 40, 40), (220, 220, 220)
# Dark enough on white, and apart in lightness for those who see no hue.
COLOURS = ((0, 90, 160), (200, 80, 0), (0, 130, 90), (150, 60, 140), (110, 90, 40), (90, 90, 90), (190, 20, 50))

TRAINING = "train/loss/"

Line = list[tuple[int, float]]


@dataclass(frozen=True)
class Panel:
    """Lines that share their axes.

    Attributes:
        title: what they show.
        lines: by name, (step, value) in order.
    """

    title: str
    lines: Mapping[str, Line]


def panels(log: Sequence[Mapping[str, float]]) -> list[Panel]:
    """The panels of a log: the losses in training, and each family of figures of evaluation.

    Args:
        log: lines of `log.jsonl`: the step, and values by name.
    """
    families: dict[str, dict[str, Line]] = defaultdict(lambda: defaultdict(list))
    for line in log:
        for name, value in line.items():
            if name == "step" or value is None or (name.startswith("train/") and not name.startswith(TRAINING)):
                continue
            family, _, last = name.rpartition("/")
            families[family][last].append((int(line["step"]), float(value)))
    order = sorted(families, key=lambda family: (family == TRAINING.rstrip("/"), family))
    return [Panel(family, families[family]) for family in order]


def draw_curves(log: Sequence[Mapping[str, float]], path: Path) -> None:
    """All panels of a log as one PNG, two to a row. Nothing is written for an empty log."""
    drawn = [_panel(panel) for panel in panels(log)]
    if not drawn:
        return
    columns = min(2, len(drawn))
    sheet = Image.new("RGB", (columns * WIDTH, -(-len(drawn) // columns) * HEIGHT), "white")
    for place, image in enumerate(drawn):
        sheet.paste(image, (place % columns * WIDTH, place // columns * HEIGHT))
    with atomic_path(path) as draft:
        sheet.reduce(FINE).save(draft, format="PNG")


def _panel(panel: Panel) -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(11 * FINE)
    points = [point for line in panel.lines.values() for point in line]
    first, last = min(step for step, _ in points), max(step for step, _ in points)
    low, high = min(value for _, value in points), max(value for _, value in points)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    steep = panel.title == TRAINING.rstrip("/") and low >= 0 and high > LOG_FROM * low
    if steep:
        low = max(low, high * LEAST)

    def height(value: float) -> float:
        """Of a value, from 0 to 1."""
        if high == low:
            return 0.5
        return math.log(max(value, low) / low) / math.log(high / low) if steep else (value - low) / (high - low)

    def place(step: int, value: float) -> tuple[float, float]:
        x = LEFT + (right - LEFT) * (step - first) / max(1, last - first)
        return x, bottom - (bottom - TOP) * height(value)

    pen.text((LEFT, 8 * FINE), panel.title + (", logarithmic" if steep else ""), fill=INK, font=font)
    for share in (0.0, 0.5, 1.0):
        value = low * (high / low) ** share if steep else low + (high - low) * share
        y = place(first, value)[1]
        pen.line([(LEFT, y), (right, y)], fill=PALE, width=FINE)
        pen.text((LEFT - 6 * FINE, y), f"{value:.3g}", fill=INK, font=font, anchor="rm")
    for step, anchor in ((first, "la"), (last, "ra")):
        pen.text((place(step, low)[0], bottom + 6 * FINE), f"{step:,}", fill=INK, font=font, anchor=anchor)
    pen.text(((LEFT + right) / 2, bottom + 6 * FINE), "steps", fill=INK, font=font, anchor="ma")
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(*point) for point in line]
        if len(places) > 1:
            pen.line(places, fill=colour, width=2 * FINE, joint="curve")
        else:
            (x, y), = places  # fmt: skip
            pen.ellipse([x - 3 * FINE, y - 3 * FINE, x + 3 * FINE, y + 3 * FINE], fill=colour)
        y = TOP + 16 * FINE * number
        if y < bottom:
            pen.line([(right + 10 * FINE, y), (right + 26 * FINE, y)], fill=colour, width=2 * FINE)
            pen.text((right + 32 * FINE, y), name, fill=INK, font=font, anchor="lm")
    return image
