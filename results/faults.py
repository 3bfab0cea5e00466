"""What is wrong with a file, in words for one line."""

from __future__ import annotations

from pydantic import ValidationError


def first_fault(error: ValidationError, whole: str = "file") -> str:
    """The first thing that does not fit, as "where: what"; `whole` stands for a fault of no one field.

    The value itself is left out: it may be long, and is not ours.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or whole
    return f"{where}: {first['msg']}"
