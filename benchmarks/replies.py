"""Where a run's replies are kept: the user's store, and the files that come with the project."""

from __future__ import annotations

from pathlib import Path

from benchmarks.errors import UsageError
from llm_backends.cache import ReplyCache
from llm_backends.replay import ReplayLayer, export
from llm_backends.request_key import prompt_of
from results.store import RunStore
from spae.cache_folder import cache_folder

COMMITTED = Path(__file__).parent.parent / "results" / "replies"


def reply_store() -> ReplyCache:
    """The user's own store, in the cache folder."""
    return ReplyCache(cache_folder() / "replies.sqlite")


def committed_replies() -> list[ReplayLayer]:
    """The files of replies that come with the project."""
    return [ReplayLayer(path) for path in sorted(COMMITTED.glob("*.jsonl"))]


def export_run(folder: Path, file: Path) -> int:
    """Writes the stored replies to a run's prompts, by the models the run asked; returns how many.

    Raises:
        UsageError: nothing of the run is stored.
        RecordError: the folder holds no run.
    """
    asked = {(record.llm, record.llm_revision, record.dtype, record.prompt) for record in RunStore.open(folder).records}
    keys = []
    sources: list[ReplyCache | ReplayLayer] = [reply_store(), *committed_replies()]
    for source in sources:
        for key in source.keys():  # noqa: SIM118 (a method of the stores, they are no mappings)
            entry = source.entry(key)
            if entry is None:
                continue
            model = entry.identity
            if (model.model, model.revision, model.dtype, prompt_of(entry.request)) in asked:
                keys.append(key)
    if not keys:
        raise UsageError(f"no reply to a prompt of {folder} is stored: run it once with --live")
    return export(sources, file, keys)
