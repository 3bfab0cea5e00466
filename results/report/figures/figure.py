"""A figure of a report, made by matplotlib: as SVG text inside the page, and as a PNG file beside it.

The SVG holds no style attribute, style sheet, script, link or font, so that the strictest Content-Security-Policy
admits it; its text is text. Equal data give equal bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from results.display import COLOURS, one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

WIDE, NARROW = 860, 360  # points, of the drawing on a desk and on a phone
PNG_DPI = 144
LONGEST_LABEL = 64
# Colours are those of a light page; the page's style sheet replaces them by name on a dark one (report.css).
INK, SOFT, LINE, FAINT, CHANCE = "#1d2329", "#5a6570", "#dfdcd3", "#f6f4ef", "#b3372b"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#8c6d00", "#5b5b5b")
"""Told apart under all common colour blindnesses (after Okabe and Ito), dark enough for thin lines on white."""
assert len(SERIES) == COLOURS
MARKERS = ("o", "s", "D", "^", "P", "X")
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spae",
    "text.parse_math": False,  # a name is no formula, whatever it holds
    "font.size": 12.5,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": LINE,
    "grid.linewidth": 1.0,
    "legend.frameon": False,
    "legend.fontsize": 12.5,
}


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: unique in the report; letters, digits and hyphens. Its file is `figure-NAME.png`.
        section: id of the page's section that it stands in: "results", "layers".
        caption: one or two sentences under it.
        summary: what it shows as text, for a reader who does not see it.
        draw: from a width in points to a matplotlib figure of one point per unit (dpi 72).
    """

    name: str
    section: str
    caption: str
    summary: str
    draw: Callable[[float], MatplotlibFigure]


def label(text: str) -> str:
    """A name for a figure: on one line, hostile characters spelt out, not longer than fits."""
    line = one_line(text)
    return line if len(line) <= LONGEST_LABEL else f"{line[: LONGEST_LABEL - 1]}…"


def svg_and_png(figure: Figure) -> tuple[str, bytes]:
    """The page's SVG elements (a wide and a narrow drawing, of which the style sheet shows one), and a PNG file."""
    with _style():
        wide = figure.draw(WIDE)
        elements = [_svg(figure, wide, "wide"), _svg(figure, figure.draw(NARROW), "narrow")]
        stream = io.BytesIO()
        wide.savefig(stream, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": None})
    return "\n".join(elements), stream.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """matplotlib's own defaults and ours, whatever the user's matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A letter that the font lacks is a box in the PNG; the page's own font has it.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def _svg(figure: Figure, plotted: MatplotlibFigure, width: str) -> str:
    """The drawing as an SVG element for a page: no style, unique ids, a role and a text alternative."""
    stream = io.BytesIO()
    plotted.savefig(stream, format="svg", facecolor="none", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(stream.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    prefix = f"{figure.name}-{width}-"
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(name): value for name, value in element.attrib.items()}
        for declaration in filter(None, (part.strip() for part in attributes.pop("style", "").split(";"))):
            name, _, value = declaration.partition(":")
            if name.strip() != "font-family":  # the page's own
                attributes[name.strip()] = value.strip()
        for name, value in attributes.items():
            if name == "id":
                attributes[name] = prefix + value
            elif name == "href":
                attributes[name] = f"#{prefix}{value.removeprefix('#')}"
            else:
                attributes[name] = re.sub(r"url\(#([^)]*)\)", rf"url(#{prefix}\1)", value)
        element.attrib.clear()
        element.attrib.update(attributes)
    for definition in root.iter("defs"):  # what `use` shows has the colours of `use`, which a style sheet can reach
        for element in definition.iter():
            element.attrib.pop("stroke", None)
    root.attrib = {"class": width, "viewBox": root.attrib["viewBox"], "role": "img", "aria-label": figure.summary}
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _local(name: str) -> str:
    """'{namespace}tag' as 'tag': inside a page, an `svg` element needs no namespace."""
    return name.rpartition("}")[2]
