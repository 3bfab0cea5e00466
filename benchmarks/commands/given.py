"""What is typed as a path or a number, checked while the command line is read."""

from __future__ import annotations

from pathlib import Path

from benchmarks.errors import UsageError


def given_path(text: str) -> Path:
    """The path typed. Raises UsageError for an empty one, which would silently be the working folder."""
    if not text.strip() or "\0" in text:
        raise UsageError(f"a path needs a name, got {text!r}: write . for the working folder")
    return Path(text)
