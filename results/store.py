"""The folder of a run: what it was asked to do, and every record it has made.

run.json        the run's configuration and its hash
records.jsonl   one record a line, appended and synced batch by batch
calls.jsonl     per record: cached or not, and seconds (the only file that differs between a run and its replay)
exhibits.json   pictures and words for the report (see `results.exhibit`)
summary.json, comparisons.json, report.md, report.html   made from the above by `results.report`
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError

from results.atomic import path_inside, write_text_atomic
from results.errors import RecordError
from results.record import Call, Record, sha256_of

RUN = "run.json"
RECORDS = "records.jsonl"
CALLS = "calls.jsonl"
EXHIBITS = "exhibits.json"
SUMMARY = "summary.json"
COMPARISONS = "comparisons.json"
REPORT_MARKDOWN = "report.md"
REPORT_HTML = "report.html"
OWN_FILES = (RUN, RECORDS, CALLS, EXHIBITS, SUMMARY, COMPARISONS, REPORT_MARKDOWN, REPORT_HTML)

FORMAT = 1
DIFFERENCES_SHOWN = 6

Line = TypeVar("Line", bound=BaseModel)


class RunExists(RecordError):
    """The folder already holds records and resuming was not asked for; the caller may resume, restart or stop."""


class RunStore:
    """Records of one run, in one folder, in the order they were made.

    Made by `create` (to write), `restart` (to write, dropping what was there) or `open` (to read).

    Attributes:
        folder: the run's folder.
        config: what the run was asked to do, as plain JSON values.
        config_hash: sha256 of `config`.
        notes: one line for each thing that was put right on loading (a torn last line).
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        records: Iterable[Record],
        calls: Iterable[Call],
        notes: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.config: dict[str, Any] = dict(config)
        self.config_hash = sha256_of(self.config)
        self.notes = tuple(notes)
        self._records = {record.id: record for record in records}
        self._calls = {call.record: call for call in calls}

    @classmethod
    def create(cls, folder: Path, config: Mapping[str, Any], resume: bool) -> Self:
        """Opens `folder` for writing, new or to be continued.

        Args:
            folder: made where it is missing.
            config: plain JSON values that say what the run does; two runs of equal config are the same run.
            resume: continue where records are already there.

        Raises:
            RunExists: there are records of this very run, and `resume` is False.
            RecordError: there are records of another run; or the folder's files are broken, or not a run's.
        """
        wanted = _plain(config)
        if not path_inside(folder, RUN).exists():
            strays = [name for name in (RECORDS, CALLS) if (folder / name).exists()]
            if strays:
                raise RecordError(f"a run's folder has a {RUN}, but {folder} has only {strays[0]}: pass another --out")
            return cls._begin(folder, wanted)
        store = cls.open(folder)
        if not store._records:  # a run that ended before its first record leaves nothing to protect
            return cls.restart(folder, wanted)
        count = f"{len(store._records)} record{'s' if len(store._records) != 1 else ''}"
        if store.config != wanted:
            raise RecordError(
                f"{folder} holds {count} of another run ({difference(store.config, wanted)}): pass another --out"
            )
        if not resume:
            raise RunExists(f"{folder} already holds {count} of this run: add --resume, or pass another --out")
        for name in (RECORDS, CALLS):
            _cut_torn_line(folder / name)
        return store

    @classmethod
    def restart(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """Starts anew in `folder`: a run's files that are there are removed, other files are left alone."""
        for name in reversed(OWN_FILES):  # run.json last: while it is there, the folder is known to be a run's
            path_inside(folder, name).unlink(missing_ok=True)
        return cls._begin(folder, _plain(config))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Reads a run; changes nothing on disk.

        Raises:
            RecordError: no run there, or a file is broken (other than a last line cut short by a crash).
        """
        path = path_inside(folder, RUN)
        if not path.is_file():
            raise RecordError(f"a run's folder has a {RUN}, {folder} has none: pass the --out of a run")
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            config, digest = held["config"], held["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path} is not a run's configuration ({error!r}): pass another --out") from error
        if not isinstance(config, dict) or sha256_of(config) != digest:
            raise RecordError(f"{path} was changed after the run began (its hash differs): pass another --out")
        notes: list[str] = []
        records = _load(folder / RECORDS, Record, notes)
        calls = _load(folder / CALLS, Call, notes)
        seen: dict[str, Record] = {}
        for record in records:
            if seen.setdefault(record.id, record) != record:
                raise RecordError(f"{folder / RECORDS} holds two different records {record.id}: pass another --out")
        return cls(folder, config, records, calls, notes)

    @classmethod
    def _begin(cls, folder: Path, config: dict[str, Any]) -> Self:
        held = {"format": FORMAT, "sha256": sha256_of(config), "config": config}
        write_text_atomic(folder, RUN, json.dumps(held, indent=2, sort_keys=True, allow_nan=False) + "\n")
        return cls(folder, config, (), ())

    @property
    def records(self) -> list[Record]:
        """Every record, in the order made."""
        return list(self._records.values())

    @property
    def calls(self) -> list[Call]:
        """The last call of each record that has one."""
        return list(self._calls.values())

    def __contains__(self, record_id: object) -> bool:
        """True where the record is already made (`CellKey.record_id`)."""
        return record_id in self._records

    def append(self, records: Sequence[Record], calls: Sequence[Call] = ()) -> None:
        """Adds a batch; on return it is on disk.

        Raises:
            RecordError: a record is already there, or a call belongs to no record.
        """
        batch = {record.id: record for record in records}
        twice = next((r.id for r in records if r.id in self._records), None)
        if twice or len(batch) != len(records):
            raise RecordError(f"a record is appended once, {twice or 'one of this batch'} came twice: check the plan")
        stray = next((c.record for c in calls if c.record not in batch and c.record not in self._records), None)
        if stray:
            raise RecordError(f"a call belongs to a record, there is none of id {stray}: append the record first")
        _append_lines(path_inside(self.folder, RECORDS), [record.line() for record in records])
        self._records.update(batch)
        _append_lines(path_inside(self.folder, CALLS), [call.line() for call in calls])
        self._calls.update((call.record, call) for call in calls)

    def write_text(self, name: str, text: str) -> Path:
        """Writes one more file of the run, atomically (see `write_text_atomic`)."""
        return write_text_atomic(self.folder, name, text)


def difference(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In words, where two configurations differ: `seed: 0 there, 1 asked for`, the first few of them."""
    old, new = _flat(held), _flat(wanted)
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    parts = [f"{name}: {_short(old.get(name))} there, {_short(new.get(name))} asked for" for name in changed]
    more = len(parts) - DIFFERENCES_SHOWN
    return "; ".join(parts[:DIFFERENCES_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as JSON gives it back, so that a tuple equals the list it was stored as."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(config), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise RecordError(f"a run's configuration is plain JSON values ({error}): convert it first") from error
    return plain


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, Mapping) and value:
        return {name: text for key in value for name, text in _flat(value[key], f"{prefix}.{key}".strip(".")).items()}
    return {prefix: json.dumps(value, sort_keys=True)}


def _short(text: str | None) -> str:
    if text is None:
        return "nothing"
    return text if len(text) <= 40 else text[:37] + "..."


def _append_lines(path: Path, lines: Sequence[str]) -> None:
    if not lines:
        return
    with path.open("ab") as file:
        file.write("".join(line + "\n" for line in lines).encode("ascii"))
        file.flush()
        os.fsync(file.fileno())


def _load(path: Path, model: type[Line], notes: list[str]) -> list[Line]:
    """Every whole line of `path` as a `model`; a last line without its newline was cut short and is left out."""
    if not path_inside(path.parent, path.name).exists():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        notes.append(f"{path.name}: the last line was cut short and is dropped; --resume makes it again")
    loaded = []
    for number, line in enumerate(lines, start=1):
        try:
            loaded.append(model.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "line"
            raise RecordError(
                f"{path} line {number} is not a {model.__name__} ({where}: {first['msg']}): pass another --out"
            ) from error
    return loaded


def _cut_torn_line(path: Path) -> None:
    """Shortens the file to its last whole line, so that the next append starts on a line of its own."""
    if path.exists():
        whole = path.read_bytes().rfind(b"\n") + 1
        if whole != path.stat().st_size:
            with path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
