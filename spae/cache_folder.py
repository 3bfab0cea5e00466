"""The cache folder: files that can be computed again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger(__name__)
_said: set[Path] = set()


def cache_folder() -> Path:
    """$SPAE_CACHE, else $XDG_CACHE_HOME/spae, else ~/.cache/spae; not created here."""
    if os.environ.get("SPAE_CACHE"):
        return Path(os.environ["SPAE_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "spae"


def is_kept(path: Path) -> bool:
    """Whether a file of the cache folder is there; False where the folder cannot be looked into."""
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


@contextmanager
def time_only() -> Iterator[None]:
    """A block that writes to the cache folder: where the disk does not take it, that costs time, and is logged once."""
    try:
        yield
    except OSError as error:
        _say(error.strerror or str(error))
    except Exception as error:
        # safetensors has an error of its own for a full disk; it is imported by whoever writes with it.
        if type(error).__name__ != "SafetensorError":
            raise
        _say(str(error))


def _say(reason: str) -> None:
    folder = cache_folder()
    if folder not in _said:
        _said.add(folder)
        _log.warning(
            "cache folder %s cannot be written (%s): what would be kept there is computed again each time",
            folder, reason,
        )  # fmt: skip
