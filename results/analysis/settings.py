"""The settings of the few-shot tasks, as the paper's Table 1 heads them, and the order of rows and columns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple


class FewShot(NamedTuple):
    """One setting: the line before the examples (task induction), inner shots, and repeats of the examples."""

    induction: bool
    shots: int
    repeats: int


AVERAGE = "average"
FEW_SHOT = {
    "i0-s1-r0": FewShot(False, 1, 0),
    "i1-s1-r0": FewShot(True, 1, 0),
    "i1-s3-r0": FewShot(True, 3, 0),
    "i1-s5-r0": FewShot(True, 5, 0),
    "i1-s1-r1": FewShot(True, 1, 1),
    "i1-s1-r3": FewShot(True, 1, 3),
    "i1-s1-r5": FewShot(True, 1, 5),
}
"""By id, in the order of Table 1's columns."""
ORDER = {setting: place for place, setting in enumerate(FEW_SHOT)}
HEADS = ("Task induction", "Inner shots", "Repeats")


def heads(setting: str) -> tuple[str, str, str]:
    """The head of a column, one text per row of `HEADS`; a setting of another task by its id."""
    if setting not in FEW_SHOT:
        return ("Avg" if setting == AVERAGE else setting, "", "")
    one = FEW_SHOT[setting]
    return ("✓" if one.induction else "", str(one.shots), str(one.repeats))


def in_words(setting: str) -> str:
    """The setting for a reader who has not met the ids."""
    if setting not in FEW_SHOT:
        return "average of the settings" if setting == AVERAGE else setting
    one = FEW_SHOT[setting]
    text = f"{one.shots} shot{'s' * (one.shots != 1)}"
    if one.repeats:
        text += f", {one.repeats} repeat{'s' * (one.repeats != 1)}"
    return text if one.induction else f"{text}, no induction"


def setting_order(setting: str) -> tuple[int, str]:
    """Sort key: the paper's order, then others by name, the average last."""
    if setting == AVERAGE:
        return (len(ORDER) + 1, "")
    return (ORDER.get(setting, len(ORDER)), "" if setting in ORDER else setting)


def columns(settings: Iterable[str]) -> tuple[str, ...]:
    """The columns of a table: all seven few-shot settings and their average, or just the settings there are."""
    there = set(settings)
    if there <= {*FEW_SHOT, AVERAGE}:
        return (*FEW_SHOT, AVERAGE)
    return tuple(sorted(there, key=setting_order))


@lru_cache(maxsize=1 << 16)  # the ids of samples, each for every tokenizer and several times
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
