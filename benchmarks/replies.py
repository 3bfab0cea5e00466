"""Where a run's replies are kept: the user's store, the files that come with the project, and those the user names."""

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

TOO_OLD = "was made by an earlier version, which did not keep what it asked: run the same into another --out"
COMMITTED = Path(__file__).parent.parent / "results" / "replies"


def reply_store() -> ReplyCache:
    """The user's own store, in the cache folder."""
    return ReplyCache(cache_folder() / "replies.sqlite")


def committed_replies() -> list[ReadOnlySource]:
    """The files of replies that come with the project."""
    return [ReadOnlySource(path) for path in sorted(COMMITTED.glob("*.jsonl"))]


def reply_layers(files: Sequence[Path] = ()) -> list[ReplySource]:
    """What lies under the store and is only read: the files given, then those that come with the project.

    Raises:
        BackendInputError: one of the files cannot be read.
    """
    return [*map(open_source, files), *committed_replies()]


def what_was_asked(request: Request, identity: Identity) -> dict[str, Any]:
    """All of a request that its record does not say, for `Call.asked`."""
    text = isinstance(getattr(request, "prompt", ""), str)
    fields = request.model_dump(mode="json", exclude={"prompt", "context"} if text else None)
    return {"backend": identity.kind, "request": fields}


def asked_again(record: Record, call: Call | None) -> tuple[Identity, Request] | None:
    """The model and the request behind a record; None where the run was made before calls kept them.

    Raises:
        UsageError: the call belongs to no such request.
    """
    if call is None or call.asked is None:
        return None
    try:
        identity = Identity(
            kind=call.asked["backend"], model=record.llm, revision=record.llm_revision, dtype=record.dtype
        )
        fields = dict(call.asked["request"])
        if "prompt" not in fields:
            fields["context" if "continuations" in fields else "prompt"] = record.prompt
        return identity, parse_request(fields)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"calls.jsonl holds no request for record {record.id[:12]} ({error!r}): run again") from error


def export_run(folder: Path, file: Path, layers: Sequence[ReplySource] = ()) -> int:
    """Writes the stored replies to a run's prompts, by the models the run asked; returns how many.

    Questions without a reply (failed, or too long for the model) are left out.

    Args:
        layers: further files that the run read replies from.

    Raises:
        UsageError: nothing of the run is stored, or it was made before runs kept what they asked.
        CacheMiss: a scored record's reply is not stored any more.
        RecordError: the folder holds no run.
    """
    store = RunStore.open(folder)
    calls = {call.record: call for call in store.calls}
    keys = []
    for record in store.records:
        asked = asked_again(record, calls.get(record.id))
        if asked is None:
            raise UsageError(f"{folder} {TOO_OLD}")
        if record.status in ("scored", "empty", "refused"):
            keys += [key_of(text) for text in key_texts(*asked)]
    if not keys:
        raise UsageError(f"no reply to a prompt of {folder} is stored: run it once with --live")
    with closing(reply_store()) as own:
        return export([own, *layers, *committed_replies()], file, keys)


def export_all(file: Path, *, skip_bad: bool = False) -> tuple[int, int]:
    """Writes everything in the user's store; returns how many replies, and how many damaged ones were left out.

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
    """Takes the replies of files into the user's store, or into a file of lines; returns what to tell the user.

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
    return [*([store] if store.exists() else []), *(layer.path for layer in committed_replies())]
