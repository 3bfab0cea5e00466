"""Layers of a pyramid as users type them and reports print them: 1-3, 2, 1,3. Counted from 1, the coarsest."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spae.errors import InputError

_RANGES = re.compile(r"[1-9]\d?(-[1-9]\d?)?(,[1-9]\d?(-[1-9]\d?)?)*")


def parse_layers(text: str) -> list[tuple[int, ...]]:
    """The ranges of a list of layers, in the order typed, each as its layers: "1-3,2" is [(1, 2, 3), (2,)].

    Raises:
        InputError: not a list of layers from 1 to 99, or a range that runs downwards.
    """
    if not _RANGES.fullmatch(text):
        raise InputError(f"--layers takes layers from 1, such as 1-3 or 1,3, got {text[:40]!r}")
    ranges = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        layers = tuple(range(int(first), int(last or first) + 1))
        if not layers:
            raise InputError(f"a range of --layers runs upwards, got {part!r}")
        ranges.append(layers)
    return ranges


def select_layers(text: str | None, available: Sequence[int]) -> tuple[int, ...]:
    """The layers asked for, ascending, each once.

    Args:
        text: as typed after --layers; None asks for all that are available.
        available: ascending.

    Raises:
        InputError: not a list of layers, or a layer that is not available.
    """
    if text is None:
        return tuple(available)
    chosen = {layer for layers in parse_layers(text) for layer in layers}
    missing = sorted(chosen - set(available))
    if missing:
        raise InputError(
            f"there is no layer {missing[0]}, only {format_layers(available)}: "
            f"pass --layers {available[0]}-{available[-1]} or fewer"
        )
    return tuple(sorted(chosen))


def format_layers(layers: Sequence[int]) -> str:
    """(1, 2, 4) as "1-2,4": one spelling for each subset. Args: layers, ascending."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
