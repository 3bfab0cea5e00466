"""Text and numbers as a reader sees them: hostile characters made visible, one way to print a value.

A reply of a model may hold anything: terminal escapes, characters that turn the direction of what follows, a table's
own separators. `visible` shows them as `⟨U+202E⟩`; escaping for HTML or Markdown comes on top of it.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable

from results.record import MetricFacts

PERCENT = "percent of 1"
HUNDREDFOLD = {PERCENT: "in per cent", "CIDEr-D points": "times 100"}
"""Units whose values are shown times 100 with one decimal, as the field prints them -> how a title says so. COCO's
tables and the paper print a CIDEr-D of 0.131, as the official package gives it, as 13.1."""
MINUS = "\N{MINUS SIGN}"
KEPT = {"\n", "\t"}
HIDDEN_CATEGORIES = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
SMALL_P = 0.001


def visible(text: str) -> str:
    """`text` with every control, direction, private and zero-width character spelt out; newlines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in KEPT or unicodedata.category(char) not in HIDDEN_CATEGORIES else f"⟨U+{ord(char):04X}⟩"
        for char in text
    )


def one_line(text: str) -> str:
    """`visible` text on one line."""
    return visible(text).replace("\n", "⏎").replace("\t", " ")


def markdown_text(text: str) -> str:
    """`text` for a place in Markdown where it must stay text: no markup, no link, no HTML, no table edge."""
    escaped = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|~#])", r"\\\1", escaped)


def csv_text(text: str) -> str:
    """`text` for a field of a CSV file: one that a spreadsheet would run as a formula is quoted with an apostrophe."""
    line = one_line(text)
    return f"'{line}" if line[:1] in {"=", "+", "-", "@"} and len(line) > 1 else line


def scale(metric: MetricFacts) -> float:
    """What a value is multiplied by to be shown."""
    return 100.0 if hundredfold(metric) else 1.0


def hundredfold(metric: MetricFacts) -> bool:
    """Whether a metric's values are shown times 100, with one decimal."""
    return metric.unit in HUNDREDFOLD


def unit_text(metric: MetricFacts) -> str:
    """The unit of shown values, for a title: 'in per cent', 'times 100', 'in dB'; '' for a plain number."""
    return HUNDREDFOLD.get(metric.unit, f"in {metric.unit}" if metric.unit else "")


def axis_text(metric: MetricFacts) -> str:
    """A metric and the unit of its shown values, for an axis: 'accuracy, per cent', 'PSNR, dB'."""
    unit = unit_text(metric).removeprefix("in ")
    return f"{metric.name}, {unit}" if unit else metric.name


def number(value: float, percentage: bool = True) -> str:
    """A shown value: a percentage with one decimal, others with three digits; its unit is left to the heading."""
    text = f"{value:.1f}" if percentage else f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")
    return text.replace("-", MINUS)


def signed(value: float, percentage: bool = True) -> str:
    """A difference of shown values, always with its sign."""
    return number(value, percentage) if math.copysign(1, value) < 0 else f"+{number(value, percentage)}"


def p_text(p: float) -> str:
    """A p value to three decimals."""
    return f"< {SMALL_P}" if p < SMALL_P else f"{p:.3f}"


COLOURS = 6
OWN_COLOUR = {"spae": 0, "vqgan": 1, "spae-plain": 2, "lqae-without-lm": 3, "spae-mnist": 4}
"""The tokenizers of this project, which many reports show."""


def colour_numbers(tokenizers: Iterable[str]) -> dict[str, int]:
    """The number of each tokenizer's colour, 0 to `COLOURS` - 1: the same in every figure and report.

    Where two names of one run meet in a number, one of them takes the next that is free.
    """
    taken: dict[str, int] = {}
    for name in sorted(set(tokenizers), key=lambda name: (name not in OWN_COLOUR, name)):
        first = OWN_COLOUR.get(name, hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[0] % COLOURS)
        places = [(first + step) % COLOURS for step in range(COLOURS)]
        taken[name] = next((place for place in places if place not in taken.values()), first)
    return taken
