"""The seven settings of the few-shot protocol (Table 1 of arXiv 2306.17842): induction, inner shots, repeats.

An id reads `iI-sS-rR`: I is 1 where the prompt opens by naming the classes (task induction), S examples of each
class are shown, and the block of all examples stands in the prompt R + 1 times. Standard library only: the
registry lists these ids before anything heavy is imported.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.errors import TaskInputError

SETTING_IDS = ("i0-s1-r0", "i1-s1-r0", "i1-s3-r0", "i1-s5-r0", "i1-s1-r1", "i1-s1-r3", "i1-s1-r5")
"""In the order of the paper's columns."""

_PATTERN = re.compile(r"i([01])-s(\d{1,2})-r(\d{1,2})", re.ASCII)


@dataclass(frozen=True)
class Setting:
    """One column of Table 1.

    Attributes:
        induction: the prompt opens with a line that names the classes.
        shots: S, examples of each class, at least 1.
        repeats: R, how often the block of examples is shown again, at least 0.
    """

    induction: bool
    shots: int
    repeats: int

    @property
    def id(self) -> str:
        """`i1-s3-r0`, as commands, records and tables write it."""
        return f"i{int(self.induction)}-s{self.shots}-r{self.repeats}"

    @classmethod
    def parse(cls, text: str) -> Setting:
        """The setting an id stands for.

        Raises:
            TaskInputError: `text` is not one of the seven ids of the protocol.
        """
        found = _PATTERN.fullmatch(text)
        if found is None or text not in SETTING_IDS:
            near = difflib.get_close_matches(text, SETTING_IDS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise TaskInputError(f"unknown setting {text!r}: {hint}known: {', '.join(SETTING_IDS)}")
        return cls(induction=found[1] == "1", shots=int(found[2]), repeats=int(found[3]))


def parse_settings(ids: Sequence[str]) -> tuple[Setting, ...]:
    """The settings of several ids, in the order given.

    Raises:
        TaskInputError: there is none, one is unknown, or one is named twice.
    """
    if isinstance(ids, str) or not ids:
        raise TaskInputError(
            f"settings must be a list of at least one id, got {ids!r}: choose from {', '.join(SETTING_IDS)}"
        )
    settings = tuple(Setting.parse(text) for text in ids)
    for position, text in enumerate(ids):
        if text in ids[:position]:
            raise TaskInputError(f"each setting may be named once, got {text!r} again: remove it from --setting")
    return settings
