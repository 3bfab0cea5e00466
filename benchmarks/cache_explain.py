"""Why the reply to a record's request is stored or not: the request beside the nearest stored one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.errors import UsageError
from benchmarks.reply_sources import request_of
from llm_backends.cache.entry import ReplySource
from llm_backends.cache.nearest_request import find_nearest
from llm_backends.cache.request_key import first_line, prompt_of, request_key
from results.record import Record
from results.store import RunStore

WIDTH = 60
"""Letters of a value in the table of fields."""


def explain_record(folder: Path, beginning: str, sources: Sequence[ReplySource]) -> str:
    """What is stored for a record, and how the nearest other stored request differs from its own.

    Args:
        folder: of the run.
        beginning: of the record's id.
        sources: where replies are looked up.

    Raises:
        UsageError: no record, or several, begin so, or the run lacks the record's request.
        RecordError: the folder holds no run.
    """
    store = RunStore.open(folder)
    record = _record(store.records, beginning, folder)
    identity, request = request_of(record, next((call for call in store.calls if call.record == record.id), None))
    key = request_key(identity, request)
    held = next((source.path for source in sources if source.entry(key) is not None), None)
    lines = [
        f"record {record.id[:12]}: {record.sample_id} of {record.task}, {record.tokenizer} {record.layers}, "
        f"{record.status}, prompt {first_line(prompt_of(request))!r}",
        f"key {key}: {'no reply is stored' if held is None else f'its reply is stored in {held}'}",
    ]
    nearest = find_nearest(identity, request, sources, without=key)
    if nearest is None:
        return "\n".join([*lines, "nothing else is stored" if held else "nothing is stored"])
    lines.append(f"nearest {'other ' if held else ''}request: key {nearest.entry.key} in {nearest.source}")
    if nearest.fields:
        rows = [("field", "stored", "asked"), *((one.field, one.stored, one.asked) for one in nearest.fields)]
        lines += ["", *_table([tuple(map(_short, row)) for row in rows])]
    lines += ["", nearest.prompt_diff or "the prompt is the same"]
    return "\n".join(lines)


def _record(records: Sequence[Record], beginning: str, folder: Path) -> Record:
    found = [record for record in records if record.id.startswith(beginning)]
    if len(found) != 1 or not beginning:
        many = f"{len(found)} do" if found else "none does"
        raise UsageError(f"one record of {folder} has to begin with {beginning!r}, {many}: see records.jsonl for ids")
    return found[0]


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _short(text: str) -> str:
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
