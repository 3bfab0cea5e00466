"""A JSON file from anywhere, read whole: its size is checked first, and every way it can be broken has one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spae.errors import DataError

# COCO's largest caption file has 66 MB. Parsed, text takes about ten times its size in memory.
MAX_BYTES = 1_000_000_000


def read_json(path: Path) -> Any:
    """What the file holds. A byte order mark is passed over.

    Raises:
        DataError: missing, too large, not UTF-8, not JSON, or nested past any sense.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path} has {size:,} bytes, at most {MAX_BYTES:,} are read: split it")
        text = path.read_bytes().decode("utf-8-sig")
        return json.loads(text)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be UTF-8, byte {error.start} is not: save it so") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error}): download or export it again") from error
