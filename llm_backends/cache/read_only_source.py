"""Replies in a text file that is committed and reviewed, looked up by key (see `reply_lines` for its lines).

A line is found by its key without being read further, so that thousands of them load at once; it is checked when it is
served.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from llm_backends.cache.entry import Entry, Part, ReplySource, reply_of
from llm_backends.cache.jsonl import entry_of_line, key_of_line, part_of_line, refuse_old_lines, write_lines
from llm_backends.cache.request_key import key_of, key_texts, prompt_key
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import BackendInputError, CacheCorrupt, CacheMiss
from llm_backends.protocol import Identity, Reply, Request


class ReadOnlySource:
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

    def find(self, wanted: Mapping[str, bytes]) -> dict[str, Part]:
        """Those of the keys that are in the file.

        Args:
            wanted: key -> the text it is the hash of, which is not read: a line's key is checked against the line.

        Raises:
            CacheCorrupt: a line is not as it was written, or the file holds something else.
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
        """Entries of this `prompt_key`; damaged ones are left out."""
        return (entry for entry in self._entries if prompt_key(entry.request) == prompt)

    def nearest_in_length(self, length: int, most: int) -> Iterator[Entry]:
        """At most `most` entries whose requests are about `length` characters long; damaged ones are left out."""
        return iter(sorted(self._entries, key=lambda entry: (abs(len(entry.text) - length), entry.key))[:most])

    def _corrupt(self, key: str, error: ValueError) -> CacheCorrupt:
        return CacheCorrupt(
            f"a committed reply must match its key, {self._path} key {key} does not "
            f"({str(error).splitlines()[0]}): restore the file, or ask again with --refresh-cache"
        )

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
            key = key_of_line(line)
            if key is None:
                raise CacheCorrupt(f"{self._path} line {number} holds no reply with a key: restore the file")
            if lines.setdefault(key, line) != line:
                raise CacheCorrupt(f"{self._path} line {number} holds a second reply for key {key}: keep one")
        refuse_old_lines(self._path, lines.values())
        return lines

    @cached_property
    def _entries(self) -> list[Entry]:
        """Every entry that is whole; made only to explain a miss."""
        found = []
        for line in self._lines.values():
            try:
                found.append(entry_of_line(line))
            except ValueError:
                continue
        return found


def open_layer(path: Path) -> ReplySource:
    """A file of replies to be looked through and never written: an SQLite file, or lines as `export` writes them.

    Raises:
        BackendInputError: there is no such file, or it cannot be read.
    """
    return ReadOnlySource(path) if holds_lines(path) else ReplyCache(path, read_only=True)


def holds_lines(path: Path) -> bool:
    """Whether a file of replies is one of text lines, by its name or else its first character.

    Raises:
        BackendInputError: there is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            begin = stream.read(64)
    except OSError as error:
        raise BackendInputError(f"a file of replies must be readable, {path} is not: {error}") from error
    return path.suffix == ".jsonl" or begin.lstrip()[:1] == b"{"


def export(sources: ReplySource | Sequence[ReplySource], path: Path, keys: Iterable[str]) -> int:
    """Writes the replies of `keys` to a file that ReadOnlySource reads, whole or not at all.

    Args:
        sources: where to take each reply from; the first that has it.
        path: the file; its folder is created.
        keys: in any order; written sorted, each once.

    Returns the number of lines.

    Raises:
        CacheMiss: no source has one of the keys.
        CacheCorrupt: a source's reply is damaged.
        BackendUnavailable: the file cannot be written.
    """
    wells = sources if isinstance(sources, Sequence) else [sources]
    return write_lines(path, [_taken(key, wells) for key in sorted(set(keys))])


def _taken(key: str, wells: Sequence[ReplySource]) -> Entry:
    for well in wells:
        entry = well.entry(key)
        if entry is not None:
            return entry
    raise CacheMiss(f"every exported key needs a stored reply, {key} has none: run its request first")
