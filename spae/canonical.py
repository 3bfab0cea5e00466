"""Values that hash: canonical JSON, SHA-256 and the frozen pydantic model. Every room may import it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from spae.regular_file import open_regular

# Made once: `json.dumps` would make an encoder for every call.
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode


class Frozen(BaseModel):
    """A value: validated once, never changed, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def canonical_json(value: Any) -> str:
    """One line of ASCII JSON, keys sorted, no spaces: equal values give equal bytes.

    ASCII, because files of it hold text of a model: a terminal that prints one sees no control character.

    Raises:
        ValueError: a NaN or an infinity, which JSON cannot write.
    """
    return _encode(value)


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(_encode(value).encode("ascii")).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes. Raises OSError where it cannot be read."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
