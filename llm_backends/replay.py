"""Replies in a text file that is committed and reviewed: one JSON object a line, sorted by key.

    {"key": "...", "identity": {...}, "request": {...}, "reply": {...}}

A line is found by its key without being read further, so that thousands of them load at once; it is checked when it is
served: the key must follow from its identity and request.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from llm_backends.errors import BackendInputError, CacheCorrupt, CacheMiss
from llm_backends.protocol import Identity, Reply, Request
from llm_backends.request_key import (
    StoredReply,
    answers,
    identity_key,
    parse_reply,
    parse_request,
    prompt_key,
    request_key,
)

KEY_FIRST = re.compile(rb'\s*\{\s*"key"\s*:\s*"([0-9a-f]{64})"')


class ReplySource(Protocol):
    """What replies can be exported from: a ReplyCache or a ReplayLayer."""

    def entry(self, key: str) -> StoredReply | None:
        """The reply under a key with its model and request, or None."""
        ...


class ReplayLayer:
    """Reads such a file. Nothing is read before the first look-up.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """The file, as given."""
        return self._path

    def get(self, key: str) -> Reply | None:
        """The reply under a key, or None.

        Raises:
            CacheCorrupt: the line is not whole, or its key does not follow from its identity and request.
            BackendInputError: the file cannot be read.
        """
        entry = self.entry(key)
        return None if entry is None else entry.reply

    def entry(self, key: str) -> StoredReply | None:
        """The reply under a key with its model and request, or None. Raises as `get`."""
        line = self._lines.get(key)
        if line is None:
            return None
        try:
            parts = json.loads(line)
            identity, request = Identity.model_validate(parts["identity"]), parse_request(parts["request"])
            reply = parse_reply(parts["reply"])
            if request_key(identity, request) != key:
                raise ValueError("the key of its identity and request is another")
            if not answers(request, reply):
                raise ValueError("its reply is not what the request asks for")
        except (ValueError, KeyError, TypeError) as error:
            raise CacheCorrupt(
                f"a committed reply must match its key, {self._path} key {key} does not "
                f"({str(error).splitlines()[0]}): restore the file, or ask again with --live"
            ) from error
        return StoredReply(key, identity, request, reply)

    def keys(self) -> list[str]:
        """Every key, sorted."""
        return sorted(self._lines)

    def knows_model(self, identity: Identity) -> bool:
        """Whether any reply of this model is in the file."""
        return any(model == identity_key(identity) for model, _ in self._asked)

    def knows_prompt(self, identity: Identity, request: Request) -> bool:
        """Whether this model's reply to the same prompt is in the file, under whatever parameters."""
        return (identity_key(identity), prompt_key(request)) in self._asked

    @cached_property
    def _lines(self) -> dict[str, bytes]:
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise BackendInputError(f"a file of replies must be readable, {self._path} is not: {error}") from error
        lines: dict[str, bytes] = {}
        for number, line in enumerate(content.split(b"\n"), start=1):
            if not line.strip():
                continue
            key = _key_of(line)
            if key is None:
                raise CacheCorrupt(f"{self._path} line {number} holds no reply with a key: restore the file")
            if lines.setdefault(key, line) != line:
                raise CacheCorrupt(f"{self._path} line {number} holds a second reply for key {key}: keep one")
        return lines

    @cached_property
    def _asked(self) -> frozenset[tuple[str, str]]:
        """(model, prompt) of every line, by their hashes; made only to explain a miss."""
        found = set()
        for line in self._lines.values():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a broken line explains nothing
                parts = json.loads(line)
                identity = Identity.model_validate(parts["identity"])
                found.add((identity_key(identity), prompt_key(parse_request(parts["request"]))))
        return frozenset(found)


def export(sources: ReplySource | Sequence[ReplySource], path: Path, keys: Iterable[str]) -> int:
    """Writes the replies of `keys` to a file that ReplayLayer reads, whole or not at all.

    Args:
        sources: where to take each reply from; the first that has it.
        path: the file; its folder is created.
        keys: in any order; written sorted, each once.

    Returns the number of lines.

    Raises:
        CacheMiss: no source has one of the keys.
        CacheCorrupt: a source's reply is damaged.
    """
    wells = sources if isinstance(sources, Sequence) else [sources]
    lines = [_line(key, wells) for key in sorted(set(keys))]
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
        Path(building).unlink(missing_ok=True)
        raise
    return len(lines)


def _line(key: str, wells: Sequence[ReplySource]) -> str:
    for well in wells:
        entry = well.entry(key)
        if entry is not None:
            parts = {
                "key": key,
                "identity": entry.identity.model_dump(mode="json"),
                "request": entry.request.model_dump(mode="json"),
                "reply": entry.reply.model_dump(mode="json"),
            }
            return json.dumps(parts, ensure_ascii=False) + "\n"
    raise CacheMiss(f"every exported key needs a stored reply, {key} has none: run its request first")


def _key_of(line: bytes) -> str | None:
    quick = KEY_FIRST.match(line)
    if quick is not None:
        return quick.group(1).decode("ascii")
    try:  # a line written by hand, with its names in another order
        key = json.loads(line)["key"]
    except (ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) else None
