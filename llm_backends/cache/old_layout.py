"""Replies stored by the first layout (version 1): checked by its own rules, then put under today's keys.

It had no samples (a request had one reply) and its text files had no checksums. Nothing here writes it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llm_backends.cache.entry import Entry, Part, parse_request
from llm_backends.cache.request_key import canonical_json
from llm_backends.errors import CacheCorrupt
from llm_backends.protocol import Choice, Identity, Likelihoods


def entry_of_old_line(fields: Mapping[str, Any]) -> Entry:
    """The entry of a line that has been read as JSON.

    Raises:
        ValueError: the line is not whole, or its key does not follow from its identity and request.
    """
    try:
        identity, request, reply = fields["identity"], fields["request"], fields["reply"]
        parts = {"version": 1, "identity": identity, "kind": _kind(request), "request": request}
        if hashlib.sha256(canonical_json(parts).encode("ascii")).hexdigest() != fields["key"]:
            raise ValueError("it has no checksum, and its key is not the first layout's either")
        part: Part = Choice.model_validate(reply) if "text" in reply else Likelihoods.model_validate(reply)
        return Entry.of(Identity.model_validate(identity), parse_request(request), 0, part)
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is not whole ({error!r})") from error


def entries_of_old_file(path: Path, connection: sqlite3.Connection) -> Iterator[Entry]:
    """Every entry of an SQLite file of the first layout.

    Raises:
        CacheCorrupt: a row is not as it was written.
    """
    for row in connection.execute("select key, request, reply, checksum from replies order by key"):
        try:
            key, request, reply, checksum = (column.decode("utf-8") for column in row)
            if hashlib.sha256(f"{key}\n{reply}".encode()).hexdigest() != checksum:
                raise ValueError("its checksum differs")
            parts = json.loads(request)
            yield entry_of_old_line(
                {"key": key, "identity": parts["identity"], "request": parts["request"], "reply": json.loads(reply)}
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CacheCorrupt(
                f"a stored reply must be as it was written, {path} key {row[0]!r} is not "
                f"({str(error).splitlines()[0]}): remove it with sqlite3, then import again"
            ) from error


def _kind(request: Mapping[str, Any]) -> str:
    return "completion" if "prompt" in request else "likelihood"
