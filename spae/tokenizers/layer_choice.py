"""Layers as users type them: 1-3, 2, 1,3."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spae.errors import InputError

LAYERS = re.compile(r"[1-9]\d?(-[1-9]\d?)?(,[1-9]\d?(-[1-9]\d?)?)*")


def layer_choice(text: str | None, there: Sequence[int]) -> tuple[int, ...]:
    """The layers asked for, ascending; all that are there where nothing is asked for.

    Args:
        text: as typed after --layers, or None.
        there: the layers that can be had, ascending, counted from 1.

    Raises:
        InputError: not a list of layers, or one that is not there.
    """
    if text is None:
        return tuple(there)
    if not LAYERS.fullmatch(text):
        raise InputError(f"--layers takes layers from 1, such as 1-3 or 1,3, got {text[:40]!r}")
    chosen: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        run = range(int(first), int(last or first) + 1)
        if not run:
            raise InputError(f"a range of --layers runs upwards, got {part!r}")
        chosen.update(run)
    missing = sorted(chosen - set(there))
    if missing:
        shown = ",".join(map(str, there))
        raise InputError(f"there is no layer {missing[0]}, only {shown}: --layers {there[0]}-{there[-1]} or fewer")
    return tuple(sorted(chosen))
