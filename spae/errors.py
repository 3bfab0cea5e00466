"""Every error `spae` raises on purpose.

SpaeError
├── InputError          an argument, option or recipe is wrong
│   ├── ShapeError      a tensor's shape breaks a stated rule
│   └── UnknownName     a registry has no such name (carries the near misses)
├── DataError           images, archives or folders that cannot be used
│   └── CorruptImage    one image does not decode
├── WeightsError        a checkpoint or a packaged model is missing or does not fit
└── TrainingError       training cannot continue (NaN, a broken checkpoint folder)

A message states the rule, the value seen and the fix, on one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpaeError(Exception):
    """Base of every deliberate error of this package."""


class InputError(SpaeError):
    """An argument, option or recipe is wrong."""


class ShapeError(InputError):
    """A tensor's shape breaks a stated rule."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "did you mean 'spae'? " for the nearest of the known names; "" if none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}? " if near else ""


class UnknownName(InputError):
    """A registry has no entry of that name.

    Args:
        kind: what was looked up ("tokenizer").
        name: as given.
        known: all valid names.
        near: the part of `name` that is compared with them; None compares all of it.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], near: str | None = None) -> None:
        names = sorted(known)
        hint = did_you_mean(name if near is None else near, names)
        super().__init__(f"unknown {kind} {name!r}: {hint}known: {', '.join(names)}")


class DataError(SpaeError):
    """Images, archives or folders that cannot be used."""


class CorruptImage(DataError):
    """One image does not decode."""


class WeightsError(SpaeError):
    """A checkpoint or a packaged model is missing or does not fit."""


class TrainingError(SpaeError):
    """Training cannot continue."""
