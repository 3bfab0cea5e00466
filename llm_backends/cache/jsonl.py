"""Replies as lines of a text file that can be committed and reviewed: one JSON object a line, sorted by key.

    {"key": "...", "identity": {...}, "request": {...}, "sample": 0, "reply": {...}, "checksum": "..."}

The key follows from identity, request and sample; the checksum covers key and reply. So any edit of a value is found,
while the order of names and spaces are free. A line is found by its key without parsing the rest, so that thousands
load quickly; it is checked when it is served.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from llm_backends.cache.entry import (
    Entry,
    Part,
    ReplySource,
    checksum,
    parse_part,
    parse_request,
    part_json,
    reply_of,
)
from llm_backends.cache.request_key import KEY_VERSION, key_of, key_texts, prompt_key
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import BackendInputError, BackendUnavailable, CacheCorrupt, CacheMiss
from llm_backends.protocol import Identity, Reply, Request
from spae.atomic import MOST_LINES, write_text
from spae.canonical import canonical_json
from spae.regular_file import check_json, open_regular, parse_json, read_bytes

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
    """The checksum of a line, from its key and the canonical JSON of its reply."""
    return checksum(key.encode("ascii"), reply.encode("ascii"))


def key_of_line(line: bytes) -> str | None:
    """The key in a line, unchecked; None if it has none."""
    quick = KEY_FIRST.match(line)
    if quick is not None:
        return quick.group(1).decode("ascii")
    try:  # a line with its names in another order
        key = parse_json(line)["key"]
    except (ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) else None


def part_of_line(line: bytes) -> Part:
    """The reply of a line.

    Raises:
        ValueError: the line fails its checks.
    """
    return _checked(_fields(line))


def entry_of_line(line: bytes) -> Entry:
    """The entry of a line.

    Raises:
        ValueError: the line fails its checks.
    """
    fields = _fields(line)
    part = _checked(fields)
    identity, request = Identity.model_validate(fields["identity"]), parse_request(fields["request"])
    entry = Entry.of(identity, request, fields["sample"], part)
    if entry.key != fields["key"]:
        raise ValueError("its request is not canonical JSON")
    return entry


def _fields(line: bytes) -> dict[str, Any]:
    check_json(line)
    fields = from_json(line)  # twice as fast as the standard library's, and as exact
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    return fields


def _checked(fields: dict[str, Any]) -> Part:
    try:
        # The same text as `key_text` makes, from the line's own values: any edit changes the hash.
        parts = {
            "identity": fields["identity"],
            "kind": "likelihood" if "context" in fields["request"] else "completion",
            "request": fields["request"],
            "sample": fields["sample"],
            "version": KEY_VERSION,
        }
        if key_of(canonical_json(parts).encode("ascii")) != fields["key"]:
            raise ValueError("its identity and request have another key")
        reply = canonical_json(fields["reply"])
        if line_checksum(fields["key"], reply) != fields["checksum"]:
            raise ValueError("its checksum differs: the reply was changed")
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is incomplete ({error!r})") from error
    return parse_part(reply.encode("ascii"))


class ReadOnlySource:
    """A file of such lines. Nothing is read before the first look-up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """The file, as given."""

    def find(self, wanted: Mapping[str, bytes]) -> dict[str, Part]:
        """Those of the keys that are in the file.

        Args:
            wanted: key -> its text, which is not used: a line's key is checked against the line.

        Raises:
            CacheCorrupt: a line fails its checks, or the file holds something else.
            BackendInputError: the file cannot be read.
        """
        found: dict[str, Part] = {}
        for key in wanted:
            line = self._lines.get(key)
            if line is not None:
                try:
                    found[key] = part_of_line(line)
                except ValueError as error:
                    raise self._corrupt(key, error) from error
        return found

    def get(self, identity: Identity, request: Request) -> Reply | None:
        """The reply to a request, all of its samples, or None. Raises as `find`."""
        texts = {key_of(text): text for text in key_texts(identity, request)}
        parts = self.find(texts)
        return reply_of([parts[key] for key in texts]) if len(parts) == len(texts) else None

    def entry(self, key: str) -> Entry | None:
        """The entry under a key, or None. Raises as `find`."""
        line = self._lines.get(key)
        if line is None:
            return None
        try:
            return entry_of_line(line)
        except ValueError as error:
            raise self._corrupt(key, error) from error

    def keys(self) -> list[str]:
        """Every key, sorted."""
        return sorted(self._lines)

    def with_prompt(self, prompt: str) -> Iterator[Entry]:
        """Entries of this `prompt_key`; damaged ones are skipped."""
        return (entry for entry in self._entries if prompt_key(entry.request) == prompt)

    def nearest_in_length(self, length: int, most: int) -> Iterator[Entry]:
        """At most `most` entries whose requests are closest to `length` characters; damaged ones are skipped."""
        return iter(sorted(self._entries, key=lambda entry: (abs(len(entry.text) - length), entry.key))[:most])

    def _corrupt(self, key: str, error: ValueError) -> CacheCorrupt:
        return CacheCorrupt(
            f"a committed reply must match its key, {self.path} key {key} does not "
            f"({str(error).splitlines()[0]}): restore the file, or ask again with --refresh-cache"
        )

    @cached_property
    def _lines(self) -> dict[str, bytes]:
        lines: dict[str, bytes] = {}
        for number, line in numbered_lines(self.path):
            key = key_of_line(line)
            if key is None:
                raise CacheCorrupt(f"{self.path} line {number} holds no reply with a key: restore the file")
            if lines.setdefault(key, line) != line:
                raise CacheCorrupt(f"{self.path} line {number} holds a second reply for key {key}: keep one")
        return lines

    @cached_property
    def _entries(self) -> list[Entry]:
        """Every intact entry; parsed only to explain a miss."""
        found = []
        for line in self._lines.values():
            try:
                found.append(entry_of_line(line))
            except ValueError:
                continue
        return found


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, numbered from 1. Raises BackendInputError if it cannot be read."""
    try:
        content = read_bytes(path, MOST_LINES)
    except OSError as error:
        raise _unreadable(path, error) from error
    return ((number, line) for number, line in enumerate(content.split(b"\n"), start=1) if line.strip())


def holds_lines(path: Path) -> bool:
    """Whether a file of replies is a text file, by its name or else its first character.

    Raises:
        BackendInputError: there is no such file, or it cannot be read.
    """
    try:
        with open_regular(path) as stream:
            begin = stream.read(64)
    except OSError as error:
        raise _unreadable(path, error) from error
    return path.suffix == ".jsonl" or begin.lstrip()[:1] == b"{"


def open_source(path: Path) -> ReplySource:
    """A read-only file of replies: SQLite, or lines as `export` writes them. Raises BackendInputError as above."""
    return ReadOnlySource(path) if holds_lines(path) else ReplyCache(path, read_only=True)


def export(sources: ReplySource | Sequence[ReplySource], path: Path, keys: Iterable[str]) -> int:
    """Writes the replies of `keys` to a file that ReadOnlySource reads, whole or not at all.

    Args:
        sources: the first one that has a reply provides it.
        keys: in any order; written sorted, each once.

    Returns the number of lines.

    Raises:
        CacheMiss: no source has one of the keys.
        CacheCorrupt: a source's reply is damaged.
        BackendUnavailable: the file cannot be written.
    """
    sources = sources if isinstance(sources, Sequence) else [sources]
    return write_lines(path, [_first_entry(key, sources) for key in sorted(set(keys))])


def write_lines(path: Path, entries: Iterable[Entry]) -> int:
    """Writes entries to a file, sorted by key and each once, whole or not at all; returns how many.

    Raises:
        BackendUnavailable: the file cannot be written.
    """
    lines = [line_of(entry) for _, entry in sorted({entry.key: entry for entry in entries}.items())]
    try:
        write_text(path, "".join(lines))
    except OSError as error:
        raise BackendUnavailable(f"{path} cannot be written ({error}): name another file") from error
    return len(lines)


def _first_entry(key: str, sources: Sequence[ReplySource]) -> Entry:
    for source in sources:
        entry = source.entry(key)
        if entry is not None:
            return entry
    raise CacheMiss(f"every exported key needs a stored reply, {key} has none: run its request first")


def _unreadable(path: Path, error: OSError) -> BackendInputError:
    return BackendInputError(f"a file of replies must be readable, {path} is not: {error}")
