"""What became of the samples of a run: counts, reasons for no score, and where the replies came from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from results.analysis.aggregate import Cell, Row
from results.analysis.settings import AVERAGE
from results.errors import RecordError
from results.jsonl import path_inside, read_file
from results.record import Call, Record
from results.store import USAGE
from spae.canonical import canonical_json
from spae.regular_file import parse_json

REASONS_SHOWN = 12
COUNTS = ("n", "scored", "infeasible", "refused", "empty", "failed", "cached")


@dataclass(frozen=True)
class Count:
    """What became of the samples of one row, over all settings."""

    row: Row
    n: int
    scored: int
    infeasible: int
    refused: int
    empty: int
    failed: int
    cached: int


@dataclass(frozen=True)
class Reason:
    """Why records of one row went without a score."""

    row: Row
    status: str
    explanation: str
    count: int


def row_counts(cells: Iterable[Cell]) -> list[Count]:
    """The counts of each row, from the cells of its first metric."""
    rows: dict[Row, tuple[str, Counter[str]]] = {}
    for cell in cells:
        if cell.setting != AVERAGE:
            metric, total = rows.setdefault(cell.row, (cell.metric, Counter()))
            if cell.metric == metric:
                total.update({name: getattr(cell, name) for name in COUNTS})
    return [Count(row=row, **{name: total[name] for name in COUNTS}) for row, (_, total) in rows.items()]


_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def reasons(records: Iterable[Record]) -> list[Reason]:
    """Why records went without a score, the commonest reason first; those that differ in numbers only are one."""
    found: dict[tuple[Row, str, str], Counter[str]] = {}
    for record in records:
        if record.status != "scored":
            key = (Row.of(record), record.status, _NUMBER.sub("0", record.explanation))
            found.setdefault(key, Counter())[record.explanation] += 1
    made = [Reason(row, status, in_one(list(texts)), texts.total()) for (row, status, _), texts in found.items()]
    return sorted(made, key=lambda r: (-r.count, r.row.order(), r.status, r.explanation))[:REASONS_SHOWN]


def in_one(texts: Sequence[str]) -> str:
    """Texts that differ in numbers only as one: "takes 512" and "takes 600" is "takes 512 to 600"."""
    columns = zip(*(_NUMBER.findall(text) for text in texts), strict=True)
    spans = iter([_span(column) for column in columns])
    return _NUMBER.sub(lambda match: next(spans), texts[0])


def _span(numbers: Sequence[str]) -> str:
    ordered = sorted(set(numbers), key=lambda number: (float(number.replace(",", "")), number))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def call_line(records: Sequence[Record], calls: Sequence[Call]) -> str:
    """How many replies came from the cache, and how long the others took."""
    if not calls:
        return "No call of the language model is on record."
    cached = sum(call.cached for call in calls)
    asked = len(calls) - cached
    line = f"{len(calls):,} replies: {cached:,} from the response cache, {asked:,} asked of the model"
    if asked:
        line += f" in {sum(call.seconds for call in calls if not call.cached):,.1f} s"
    shared = shared_prompts(records, calls)
    return f"{line}. Several tokenizers share {shared:,} of them: their prompts were equal." if shared else f"{line}."


def shared_prompts(records: Iterable[Record], calls: Iterable[Call]) -> int:
    """How many prompts two or more tokenizers came to, word for word: each was asked once for all of them."""
    asked = {call.record: canonical_json(call.request) for call in calls if call.request is not None}
    tokenizers: dict[tuple[str, ...], set[str]] = {}
    for record in records:
        if record.id in asked and record.status in ("scored", "empty", "refused"):  # the others share no reply
            key = (record.model, record.model_revision, record.dtype, asked[record.id], record.prompt)
            tokenizers.setdefault(key, set()).add(record.tokenizer_fingerprint)
    return sum(len(found) > 1 for found in tokenizers.values())


def slow_paths(folder: Path) -> dict[str, int]:
    """Reason -> requests that took a slower path than the usual one. Raises as `_usage_counts`."""
    return _usage_counts(folder, "slow_paths")


def adjustments(folder: Path) -> dict[str, int]:
    """What was done -> answers of a server for which it was done. Raises as `_usage_counts`."""
    return _usage_counts(folder, "adjustments")


def _usage_counts(folder: Path, name: str) -> dict[str, int]:
    """Counts in usage.json, over all commands; empty where it has none.

    Raises:
        RecordError: the file is broken.
    """
    path = path_inside(folder, USAGE)
    if not path.exists():
        return {}
    try:
        counts = parse_json(read_file(folder, USAGE))["total"].get(name, {})
        return {str(reason): int(count) for reason, count in sorted(counts.items()) if count}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path} must hold a run's usage ({error!r}): move it away") from error
