"""What both command lines print: text made safe for a terminal, in any encoding.

Names of files, tensors and models, replies and error messages are text of others. Printed as they are, they could move
the cursor, set colours and titles, or reverse the direction of what follows; in a terminal that is not UTF-8 they could
end a program. Everything that is printed goes through `escaped`: plain text by the streams that `safe_streams` puts in
place of stdout and stderr, tables and progress bars by `spae.console`.
"""

from __future__ import annotations

import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from typer.core import TyperGroup

HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories without a visible character: control, format, half a character, line and paragraph separators."""
_SUSPECT = re.compile(r"[^\x20-\x7e\n\t]")


def escaped(text: str) -> str:
    """`text` with hidden characters spelt as JSON would: `\\u001b`. Newlines and tabs stay, and JSON stays valid."""
    return _SUSPECT.sub(_spelt, text)


def _spelt(found: re.Match[str]) -> str:
    character = found.group()
    if unicodedata.category(character) not in HIDDEN:
        return character
    pair = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pair[place : place + 2].hex()}" for place in range(0, len(pair), 2))


class SafeStream:
    """A text stream that writes what is `escaped`, with a question mark for what the encoding lacks.

    It has no `buffer`: typer would write bytes to that one where the encoding is ASCII.

    Args:
        raw: the stream behind it, to which consoles write their own escapes.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw
        if isinstance(raw, io.TextIOWrapper):
            raw.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        """Writes the text; returns its length."""
        start = "\r" if text.startswith("\r") else ""  # the bars of other libraries return to the start of their line
        self.raw.write(start + escaped(text[len(start) :]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each of the lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name in ("raw", "buffer"):
            raise AttributeError(name)
        return getattr(self.raw, name)


def protect_streams() -> None:
    """Puts a `SafeStream` before stdout and stderr, once."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, SafeStream):
            setattr(sys, name, SafeStream(stream))


def drop_output() -> None:
    """Leaves no output waiting that the interpreter would fail to write at its end (a full disk, a closed pipe)."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


@contextmanager
def safe_streams() -> Iterator[None]:
    """`protect_streams` for a block."""
    before = sys.stdout, sys.stderr
    protect_streams()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class SafeGroup(TyperGroup):
    """The commands of a program: all that they print, help and errors of arguments included, is safe."""

    def main(self, *args: Any, **options: Any) -> Any:
        with safe_streams():
            return super().main(*args, **options)
