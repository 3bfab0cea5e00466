"""The settings of the few-shot tasks, as the paper's Table 1 heads them, and the order of rows and columns.

An id such as `i1-s3-r0` says: task induction (the line before the examples) yes, 3 inner shots, 0 repeats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

AVERAGE = "average"
FEW_SHOT = ("i0-s1-r0", "i1-s1-r0", "i1-s3-r0", "i1-s5-r0", "i1-s1-r1", "i1-s1-r3", "i1-s1-r5")
HEADS = ("Task induction", "Inner shots", "Repeats")


def heads(setting: str) -> tuple[str, str, str]:
    """What stands over a column, one text per row of `HEADS`; another task's setting stands there by its name."""
    match = re.fullmatch(r"i([01])-s(\d+)-r(\d+)", setting)
    if not match:
        return ("Avg" if setting == AVERAGE else setting, "", "")
    return ("✓" if match[1] == "1" else "", match[2], match[3])


def in_words(setting: str) -> str:
    """The setting for a reader who has not met the ids."""
    match = re.fullmatch(r"i([01])-s(\d+)-r(\d+)", setting)
    if not match:
        return "average of the settings" if setting == AVERAGE else setting
    shots = f"{match[2]} shot" + ("s" if match[2] != "1" else "")
    repeats = f", {match[3]} repeat" + ("s" if match[3] != "1" else "") if match[3] != "0" else ""
    return f"{shots}{repeats}" + ("" if match[1] == "1" else ", no induction")


def setting_order(setting: str) -> tuple[int, str]:
    """Sort key: the paper's order, then others by name, the average last."""
    if setting == AVERAGE:
        return (len(FEW_SHOT) + 1, "")
    return (FEW_SHOT.index(setting), "") if setting in FEW_SHOT else (len(FEW_SHOT), setting)


def columns(settings: Iterable[str]) -> tuple[str, ...]:
    """The columns of a table: all seven few-shot settings and their average, or just the settings there are."""
    there = set(settings)
    if there <= {*FEW_SHOT, AVERAGE}:
        return (*FEW_SHOT, AVERAGE)
    return tuple(sorted(there, key=setting_order))


def is_spae(tokenizer: str) -> bool:
    """True for the method under test and its variants (`spae`, `picto_spae`, `spae-disjoint`)."""
    return "spae" in re.split(r"[^a-z]+", tokenizer.lower())


def tokenizer_order(tokenizer: str) -> tuple[bool, str]:
    """Sort key: baselines by name, then SPAE, which stands last as in the paper's tables."""
    return (is_spae(tokenizer), tokenizer)


def natural_order(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which `episode-9` comes before `episode-10`, digits of any number."""
    parts = [(part, part.lstrip("0")) for part in re.split(r"([0-9]+)", text)]
    return tuple((0, len(bare), bare) if part[:1].isdigit() else (1, 0, part) for part, bare in parts)


def layer_numbers(layers: str) -> tuple[int, ...]:
    """`1-2,4` as (1, 2, 4)."""
    numbers: list[int] = []
    for part in layers.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)
