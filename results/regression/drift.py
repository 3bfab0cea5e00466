"""Where a repeated run differs from its baseline; each drift names what differs.

Records are paired by what identifies a sample's result for a reader (task, setting, tokenizer, layers, prompt style,
scoring, sample), and compared field by field in the order in which one causes the next: sample, prompt, reply,
prediction, score. Only the first that differs is named. Aggregates are compared on top: they drift with any of these.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from results.analysis.aggregate import Cell
from results.differences import differences, short
from results.display import one_line, visible
from results.record import Record
from results.regression.baseline import Baseline, BaselineFacts

TOLERANCE = 1e-9
"""Of a score: what another order of floating point sums may change."""

SHA256 = re.compile("[0-9a-f]{64}")
KINDS_OF_CONFIG = {
    "llm_identity": "model",
    "llm_context_length": "context length",
    "samples_sha256": "manifest",
    "tokenizers": "tokenizer",
    "metrics": "metric",
}
"""Part of a run's configuration -> kind of drift; any other part is a "setting of the run"."""

CAUSES = (
    ("sample", ("sample_fingerprint", "choices", "target", "references")),
    ("prompt", ("prompt",)),
    ("reply", ("reply",)),
    ("prediction", ("status", "prediction")),
    ("score", ("scores",)),
    ("explanation", ("explanation",)),
    ("generated", ("tokens", "steps", "images")),
)
"""Kind of drift -> the fields of a record that show it, causes before effects."""


@dataclass(frozen=True)
class Drift:
    """One thing that differs.

    Attributes:
        kind: "prompt", "missing reply", "reply", "prediction", "score", "aggregate", "model", "tokenizer", ...
        where: the cell, sample, task or name concerned.
        recorded: in the baseline, shortened.
        now: in the repeated run, shortened.
        count: how many records this one stands for.
        diff: a unified diff where texts differ, else "".
    """

    kind: str
    where: str
    recorded: str
    now: str
    count: int = 1
    diff: str = ""


def find_drifts(recorded: Baseline, now: Baseline) -> list[Drift]:
    """Every drift, causes before effects; empty where both are equal."""
    moved = {task for task, old, new in _pairs(_samples(recorded), _samples(now)) if old != new}
    return [
        *_config(recorded, now),
        *_data(recorded, now),
        *_facts(recorded.facts, now.facts, moved),
        *_records(recorded, now),
        *_aggregates(recorded.cells, now.cells),
    ]


def cell_name(cell: Cell | Record) -> str:
    """A cell for a reader: `miniimagenet-5way i1-s1-r0 spae 1-2 ranked`."""
    shuffled = " shuffled" if cell.shuffled else ""
    return visible(f"{cell.task} {cell.setting} {cell.tokenizer}{shuffled} {cell.layers} {cell.scoring}")


def unified(recorded: str, now: str) -> str:
    """A unified diff of two texts, control characters spelled out; a missing final line break shows, too."""
    lines = difflib.unified_diff(recorded.split("\n"), now.split("\n"), "recorded", "now", lineterm="", n=2)
    return "\n".join(one_line(line) for line in lines)


def _samples(baseline: Baseline) -> Mapping[str, str]:
    found: dict[str, str] = baseline.config.get("samples_sha256", {})
    return found


def _pairs(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str | None, str | None]]:
    for name in dict.fromkeys([*old, *new]):
        yield name, old.get(name), new.get(name)


def _config(recorded: Baseline, now: Baseline) -> Iterator[Drift]:
    for field, held, wanted in differences(recorded.config, now.config):
        part, _, name = field.partition(".")
        yield Drift(
            KINDS_OF_CONFIG.get(part, "setting of the run"), name or part, short(_plain(held)), short(_plain(wanted))
        )


def _plain(value: str | None) -> str | None:
    """A JSON string without its quotation marks, and a sha256 by its first characters."""
    text = value[1:-1] if value is not None and value.startswith('"') else value
    return text[:12] if text is not None and SHA256.fullmatch(text) else text


def _data(recorded: Baseline, now: Baseline) -> Iterator[Drift]:
    """Image sets whose bytes, classes or ids changed."""
    old = {f"{record.task} on {record.data}": record.data_fingerprint for record in recorded.records}
    new = {f"{record.task} on {record.data}": record.data_fingerprint for record in now.records}
    for name, before, after in _pairs(old, new):
        if before is not None and after is not None and before != after:
            yield Drift("data", visible(name), before[:12], after[:12])


def _facts(old: BaselineFacts, new: BaselineFacts, moved: set[str]) -> Iterator[Drift]:
    """The file of replies, and the scorer cases; these are made of a sample, so not where the samples changed."""
    if old.replies_sha256 != new.replies_sha256:
        yield Drift("edited replies", "replies.jsonl", old.replies_sha256[:12], new.replies_sha256[:12])
    for case, before, after in _pairs(_cases(old, moved), _cases(new, moved)):
        if before != after:
            yield Drift("scorer", case, one_line(before or "none"), one_line(after or "none"))


def _cases(facts: BaselineFacts, moved: set[str]) -> dict[str, str]:
    return {
        f"{fact.scoring} of {fact.task}, case: {case}": outcome
        for fact in facts.scorers
        if fact.task not in moved
        for case, outcome in fact.outcomes.items()
    }


PLACE = ("task", "setting", "tokenizer", "layers", "shuffled", "prompt_style", "scoring", "sample_id")


def _place(record: Record) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in PLACE)


def _records(recorded: Baseline, now: Baseline) -> Iterator[Drift]:
    """One drift per kind and cell, shown by its first record."""
    edited = recorded.facts.replies_sha256 != now.facts.replies_sha256
    new = {_place(record): record for record in now.records}
    found: dict[tuple[str, str], list[tuple[Record, Record]]] = {}
    gone: list[Record] = []
    for old in recorded.records:
        other = new.pop(_place(old), None)
        if other is None:
            gone.append(old)
        elif kind := _first_difference(old, other, edited):
            found.setdefault((kind, cell_name(old)), []).append((old, other))
    for cell, records in _by_cell(gone).items():
        yield Drift("record", cell, visible(records[0].sample_id), "none", len(records))
    for cell, records in _by_cell(new.values()).items():
        yield Drift("record", cell, "none", visible(records[0].sample_id), len(records))
    order = {kind: place for place, kind in enumerate(("missing reply", *(kind for kind, _ in CAUSES)))}
    for (kind, cell), pairs in sorted(found.items(), key=lambda one: order[one[0][0]]):
        yield _drift(kind, cell, *pairs[0], len(pairs))


def _by_cell(records: Iterable[Record]) -> dict[str, list[Record]]:
    cells: dict[str, list[Record]] = {}
    for record in records:
        cells.setdefault(cell_name(record), []).append(record)
    return cells


def _first_difference(old: Record, new: Record, edited: bool) -> str | None:
    """The kind of the first difference; None for equal records."""
    for kind, fields in CAUSES:
        if kind == "reply" and new.status == "failed" and old.status != "failed":
            return "missing reply"
        if not all(_equal(getattr(old, field), getattr(new, field)) for field in fields):
            # Ranked scoring writes the class that it chose as the reply: if no reply changed, the scoring did.
            return "prediction" if kind == "reply" and not edited else kind
    return None


def _drift(kind: str, cell: str, old: Record, new: Record, count: int) -> Drift:
    where = f"{cell} {visible(old.sample_id)}"
    if kind == "prompt":
        return Drift(kind, cell, _words(old.prompt), _words(new.prompt), count, unified(old.prompt, new.prompt))
    if kind == "missing reply":
        return Drift(kind, where, _words(old.reply or "one or more"), one_line(new.explanation), count)
    if kind == "reply":
        return Drift(
            kind, where, _words(old.reply), _words(new.reply), count, unified(old.reply or "", new.reply or "")
        )
    if kind in ("prediction", "score", "explanation"):
        outcomes = _outcome(old), _outcome(new)
        if outcomes[0] == outcomes[1]:  # the reply alone is another
            outcomes = _words(old.reply), _words(new.reply)
        return Drift(kind, where, *outcomes, count)
    fields = next(fields for name, fields in CAUSES if name == kind)
    field = next(name for name in fields if not _equal(getattr(old, name), getattr(new, name)))
    before, after = (short(f"{field} {getattr(one, field)}", 60) for one in (old, new))
    return Drift(kind, where, before, after, count)


def _aggregates(old: Iterable[Cell], new: Iterable[Cell]) -> Iterator[Drift]:
    before = {(cell.row, cell.setting, cell.metric): cell for cell in old}
    after = {(cell.row, cell.setting, cell.metric): cell for cell in new}
    for key in dict.fromkeys([*before, *after]):
        was, is_ = before.get(key), after.get(key)
        if was is None or is_ is None:
            present = was or is_
            assert present is not None, "the key is of one of them"
            yield Drift("aggregate", cell_name(present), _number(was), _number(is_))
            continue
        fields = [name for name in Cell.model_fields if name != "cached"]
        changed = [name for name in fields if not _equal(getattr(was, name), getattr(is_, name))]
        if changed:
            names = ["value"] if "value" in changed else changed  # the others follow from it
            yield Drift("aggregate", cell_name(was), _fields(was, names), _fields(is_, names))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= TOLERANCE
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return bool(one == other)


def _fields(cell: Cell, names: Iterable[str]) -> str:
    return ", ".join(_number(cell) if name == "value" else f"{name} {getattr(cell, name)}" for name in names)


def _number(cell: Cell | None) -> str:
    if cell is None:
        return "no such cell"
    value = "no value" if cell.value is None else f"{cell.value:.4f}"
    return f"{cell.metric} {value} (n {cell.n}, scored {cell.scored})"


def _outcome(record: Record) -> str:
    scores = "" if not record.scores else f" {json.dumps(record.scores)}"
    note = f" ({_words(record.explanation)})" if record.explanation else ""
    return f"{record.status}{scores}: {_words(record.prediction)!r}{note}"


def _words(text: str | None) -> str:
    """A text on one line, shortened."""
    return short(one_line(text or ""), 60)
