"""Where two configurations differ, field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SHOWN = 6
WIDEST = 40


class Difference(NamedTuple):
    """One field that differs; its values as JSON text, None where the field is missing."""

    field: str
    held: str | None
    wanted: str | None


def differences(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Difference]:
    """Every field that differs, by name; a field inside another is written `outer.inner`."""
    old, new = _flat(held), _flat(wanted)
    return [
        Difference(name, old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def in_words(found: Sequence[Difference]) -> str:
    """On one line, the first few: `seed: 0 there, 1 asked for`."""
    parts = [f"{one.field}: {short(one.held)} there, {short(one.wanted)} asked for" for one in found]
    more = len(parts) - SHOWN
    return "; ".join(parts[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def short(text: str | None, width: int = WIDEST) -> str:
    """At most `width` characters; "nothing" for None."""
    if text is None:
        return "nothing"
    return text if len(text) <= width else text[: width - 3] + "..."


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, Mapping) and value:
        return {name: text for key in value for name, text in _flat(value[key], f"{prefix}.{key}".strip(".")).items()}
    return {prefix: json.dumps(value, sort_keys=True)}
