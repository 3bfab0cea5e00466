"""Replies as lines of a text file that is committed and reviewed: one JSON object a line, sorted by key.

    {"key": "...", "identity": {...}, "request": {...}, "sample": 0, "reply": {...}, "checksum": "..."}

The key follows from identity, request and sample; the checksum covers key and reply. So a line that somebody edited is
found, whichever part was changed, while the order of its names and its spaces are free.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from llm_backends.cache.entry import Entry, Part, checksum, parse_part, parse_request, part_json
from llm_backends.cache.old_layout import entry_of_old_line
from llm_backends.cache.request_key import KEY_VERSION, canonical_json, key_of
from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.protocol import Identity

KEY_FIRST = re.compile(rb'\s*\{\s*"key"\s*:\s*"([0-9a-f]{64})"')


def line_of(entry: Entry) -> str:
    """The line of an entry, with its newline."""
    parts = {
        "key": entry.key,
        "identity": entry.identity.model_dump(mode="json"),
        "request": entry.request.model_dump(mode="json"),
        "sample": entry.sample,
        "reply": entry.part.model_dump(mode="json"),
        "checksum": line_checksum(entry.key, part_json(entry.part)),
    }
    return json.dumps(parts, ensure_ascii=False) + "\n"


def line_checksum(key: str, reply: str) -> str:
    """Of one line, from its key and the one spelling of its reply."""
    return checksum(key.encode("ascii"), reply.encode("ascii"))


def key_of_line(line: bytes) -> str | None:
    """The key that a line states, unchecked; None where it is no such line."""
    quick = KEY_FIRST.match(line)
    if quick is not None:
        return quick.group(1).decode("ascii")
    try:  # a line written by hand, with its names in another order
        key = json.loads(line)["key"]
    except (ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) else None


def part_of_line(line: bytes) -> Part:
    """The reply of a line, checked.

    Raises:
        ValueError: the line is not as it was written.
    """
    return _checked(_fields(line))


def entry_of_line(line: bytes, *, old: bool = False) -> Entry:
    """The entry of a line, checked.

    Args:
        old: take lines of the first layout too, which had neither samples nor checksums.

    Raises:
        ValueError: the line is not as it was written, or of the first layout and `old` is False.
    """
    fields = _fields(line, old=old)
    if is_old(fields):
        return entry_of_old_line(fields)
    part = _checked(fields)
    entry = Entry.of(Identity.model_validate(fields["identity"]), parse_request(fields["request"]), 0, part)
    if fields["sample"] != 0:
        entry = Entry.of(entry.identity, entry.request, fields["sample"], part)
    if entry.key != fields["key"]:
        raise ValueError("its request is not in its one spelling")
    return entry


def is_old(fields: dict[str, Any]) -> bool:
    """Whether a line is of the first layout. (Taking a line's checksum away does not make it one: its key differs.)"""
    return "checksum" not in fields


def refuse_old_lines(path: Path, lines: Collection[bytes]) -> None:
    """Raises BackendInputError where a file is one of the first layout, none of whose keys would ever be asked for."""
    if lines and not any(b'"checksum"' in line for line in lines):
        raise BackendInputError(
            f"{path} was written by an earlier version; no reply is lost: "
            f"python -m benchmarks cache import {path} --into {path}"
        )


def write_lines(path: Path, entries: Iterable[Entry]) -> int:
    """Writes entries to a file, sorted by key and each once, whole or not at all; returns how many.

    Raises:
        BackendUnavailable: the file cannot be written.
    """
    lines = [line_of(entry) for _, entry in sorted({entry.key: entry for entry in entries}.items())]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, building = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(lines)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(building, 0o644)
            os.replace(building, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(building)
            raise
    except OSError as error:
        raise BackendUnavailable(f"{path} cannot be written ({error}): name another file") from error
    return len(lines)


def _fields(line: bytes, *, old: bool = False) -> dict[str, Any]:
    fields = from_json(line)  # twice as fast as the standard library's, and as exact
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    if is_old(fields) and not old:
        raise ValueError("it has no checksum")
    return fields


def _checked(fields: dict[str, Any]) -> Part:
    try:
        likelihood = "context" in fields["request"]
        # The same text as `key_text` makes, from what the line holds: whatever was changed, the hash is another.
        parts = {
            "identity": fields["identity"],
            "kind": "likelihood" if likelihood else "completion",
            "request": fields["request"],
            "sample": fields["sample"],
            "version": KEY_VERSION,
        }
        if key_of(canonical_json(parts).encode("ascii")) != fields["key"]:
            raise ValueError("the key of its identity and request is another")
        reply = canonical_json(fields["reply"])
        if line_checksum(fields["key"], reply) != fields["checksum"]:
            raise ValueError("its checksum differs: the reply was changed")
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is not whole ({error!r})") from error
    return parse_part(reply.encode("ascii"))
