"""Values that hash or are compared: canonical JSON, SHA-256, the frozen pydantic model, and text in one Unicode form.

Every room may import it.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
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


def composed(text: str) -> str:
    """`text` in NFC: macOS writes é in a folder's name as e and an accent, a model replies with the one letter."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """`text` as it is compared where case does not count: folded, in NFC."""
    return composed(composed(text).casefold())


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(_encode(value).encode("ascii")).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes. Raises OSError where it cannot be read."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
