"""The cache folder: files that can be computed again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$SPAE_CACHE, else $XDG_CACHE_HOME/spae, else ~/.cache/spae; not created here."""
    if os.environ.get("SPAE_CACHE"):
        return Path(os.environ["SPAE_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "spae"
