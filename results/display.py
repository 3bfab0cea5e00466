"""Text and numbers as a reader sees them: hostile characters made visible, one way to print a value.

A reply of a model may hold anything: terminal escapes, characters that turn the direction of what follows, a table's
own separators. `visible` shows them as `⟨U+202E⟩`; escaping for HTML or Markdown comes on top of it.
"""

from __future__ import annotations

import math
import re
import unicodedata

from results.record import MetricFacts

PERCENT = "percent of 1"
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
    """What a value is multiplied by to be shown: fractions are shown in per cent."""
    return 100.0 if metric.unit == PERCENT else 1.0


def unit_text(metric: MetricFacts) -> str:
    """The unit of shown values, for a title: 'in per cent', 'in dB'; '' for a plain number."""
    return "in per cent" if metric.unit == PERCENT else f"in {metric.unit}" if metric.unit else ""


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
