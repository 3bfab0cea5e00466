"""Sources of stored replies: the user's own store, the project's committed files, and files that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from llm_backends.cache.entry import ReplySource, parse_request
from llm_backends.cache.jsonl import ReadOnlySource, export, open_source, write_lines
from llm_backends.cache.maintenance import Conflicts, import_into_cache, import_into_lines, read_file
from llm_backends.cache.request_key import key_of, key_texts
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import CacheCorrupt
from llm_backends.protocol import Identity, Request
from results.record import Call, Record
from results.store import RunStore
from spae.cache_folder import cache_folder

COMMITTED = Path(__file__).parent.parent / "results" / "replies"


def reply_store() -> ReplyCache:
    """The user's own store, in the cache folder."""
    return ReplyCache(cache_folder() / "replies.sqlite")


def committed_replies() -> list[ReadOnlySource]:
    """The project's files of replies."""
    return [ReadOnlySource(path) for path in sorted(COMMITTED.glob("*.jsonl"))]


def read_only_sources(files: Sequence[Path] = (), *, committed: bool = True) -> list[ReplySource]:
    """Where replies are looked up after the user's own store: the files given, then the project's.

    Args:
        files: .jsonl or .sqlite.
        committed: False leaves the project's out.

    Raises:
        BackendInputError: one of the files cannot be read.
    """
    return [*map(open_source, files), *(committed_replies() if committed else ())]


def request_facts(requests: Sequence[Request], identity: Identity) -> dict[str, Any] | None:
    """What `Call.request` keeps: of one request all that its record lacks, of several their keys in the cache."""
    if not requests:
        return None
    if len(requests) > 1:
        return {"backend": identity.kind, "keys": [key for request in requests for key in _keys(identity, request)]}
    (request,) = requests
    text = isinstance(getattr(request, "prompt", ""), str)
    fields = request.model_dump(mode="json", exclude={"prompt", "context"} if text else None)
    return {"backend": identity.kind, "request": fields}


def _keys(identity: Identity, request: Request) -> list[str]:
    return [key_of(text) for text in key_texts(identity, request)]


def request_of(record: Record, call: Call | None) -> tuple[Identity, Request]:
    """The model and the request behind a record.

    Raises:
        UsageError: the call is missing or does not hold such a request.
    """
    try:
        facts = call.request if call is not None and call.request is not None else {}
        identity = Identity(
            kind=facts["backend"], model=record.model, revision=record.model_revision, dtype=record.dtype
        )
        fields = dict(facts["request"])
        if "prompt" not in fields:
            fields["context" if "continuations" in fields else "prompt"] = record.prompt
        return identity, parse_request(fields)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"calls.jsonl must hold the request of each record, that of {record.id[:12]} is missing or broken "
            f"({error!r}): run again into another --out"
        ) from error


def export_run(folder: Path, file: Path, sources: Sequence[ReplySource] = ()) -> int:
    """Writes the stored replies to a run's requests; returns how many.

    Records without a reply (failed, or too long for the model) are left out.

    Args:
        sources: read-only ones, looked up after the user's own store.

    Raises:
        UsageError: the run has no reply, or not the requests of its records.
        CacheMiss: the reply of a scored record is not stored any more.
        RecordError: the folder holds no run.
    """
    store = RunStore.open(folder)
    calls = {call.record: call for call in store.calls}
    keys: list[str] = []
    for record in store.records:
        call = calls.get(record.id)
        if call is not None and call.request is not None and "keys" in call.request:
            keys += call.request["keys"]
        elif record.status in ("scored", "empty", "refused"):
            keys += _keys(*request_of(record, call))
    if not keys:
        raise UsageError(f"{folder} must have records with a reply, it has none: run it once with --refresh-cache")
    with closing(reply_store()) as own:
        return export([own, *sources], file, keys)


def export_all(file: Path, *, skip_bad: bool = False) -> tuple[int, int]:
    """Writes everything in the user's store; returns the numbers of written and of left out, damaged replies.

    Raises:
        UsageError: nothing is stored.
        CacheCorrupt: a reply is damaged and `skip_bad` is False.
    """
    entries, bad = [], 0
    with closing(reply_store()) as store:
        for key in store.keys():  # noqa: SIM118 (a method of the store, which is no mapping)
            try:
                entry = store.entry(key)
            except CacheCorrupt:
                if not skip_bad:
                    raise
                bad += 1
                continue
            if entry is not None:
                entries.append(entry)
    if not entries:
        raise UsageError(f"{store.path} holds no replies: run something first")
    return write_lines(file, entries), bad


def import_files(files: Sequence[Path], into: Path | None, conflicts: Conflicts) -> list[str]:
    """Imports replies into the user's store, or into a .jsonl file; returns lines for the user.

    Raises:
        CacheCorrupt: a reply is damaged or differs from one that is there; nothing is imported.
        BackendInputError, BackendUnavailable: a file cannot be used.
    """
    own = reply_store().path
    read = [(path, read_file(path)) for path in files]
    entries = [entry for _, some in read for entry in some]
    if into is None:
        with closing(reply_store()) as store:
            done = import_into_cache(store, entries, conflicts)
    else:
        done = import_into_lines(into, entries, conflicts)
    lines = [f"{path}: {len(some):,} replies read" for path, some in read]
    verb = "replaced" if conflicts == "replace" else "kept as they were"
    more = f", {done.differing:,} differing ones {verb}" if done.differing else ""
    return [*lines, f"{into or own}: {done.new:,} new, {done.same:,} known{more}"]


def own_files() -> list[Path]:
    """The user's store, where it exists, and the project's files of replies."""
    store = reply_store().path
    return [*([store] if store.exists() else []), *(source.path for source in committed_replies())]
