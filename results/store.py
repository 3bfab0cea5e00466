"""The folder of a run: what it was asked to do, and every record it has made.

run.json        the run's configuration and its hash
records.jsonl   one record a line, written as the answers come and put into the plan's order when the run ends; while
                it runs, a later line replaces an earlier one of the same id whose call had failed
calls.jsonl     per record: cached or not, and seconds (the only file that differs between a run and its replay)
examples.json   images and words for the report (see `results.report.example`)
metrics.json    metrics of whole corpora, such as BLEU, where a task has some (see `results.analysis.corpus`)
usage.json      calls, tokens and slow paths of the backend
summary.json, comparisons.json, report.md, report.html, figure-*.png, report.json   made from the above by
                `results.report.write`
.run.lock       held while a run writes here
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from results.differences import differences, in_words
from results.errors import RecordError, RunDiffers, RunExists
from results.jsonl import append_lines, load_lines, path_inside, read_file, write_bytes, write_text
from results.record import Call, Record
from results.run_facts import RunFacts
from spae.atomic import cut_torn_line, sync_file, sync_folder
from spae.canonical import sha256_json
from spae.regular_file import parse_json

RUN = "run.json"
RECORDS = "records.jsonl"
CALLS = "calls.jsonl"
EXAMPLES = "examples.json"
METRICS = "metrics.json"
USAGE = "usage.json"
SUMMARY = "summary.json"
COMPARISONS = "comparisons.json"
REPORT_MARKDOWN = "report.md"
REPORT_HTML = "report.html"
REPORT_FACTS = "report.json"
OWN_FILES = (RUN, RECORDS, CALLS, EXAMPLES, METRICS, SUMMARY, COMPARISONS, REPORT_MARKDOWN, REPORT_HTML, REPORT_FACTS)
FIGURE = "figure-"
"""How the PNG files of a report's figures begin."""
LOCK = ".run.lock"

FORMAT = 1


class RunStore:
    """Records of one run, in one folder, in the order they were made.

    Made by `create` (to write), `restart` (to write, dropping what was there) or `open` (to read). One that writes
    holds the folder's lock for as long as it lives.

    Attributes:
        folder: the run's folder.
        config: what the run was asked to do, as plain JSON values.
        config_hash: sha256 of `config`.
        facts: what `config` states of metrics and tokenizers.
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
        self.config_hash = sha256_json(self.config)
        self.notes = tuple(notes)
        self.facts = RunFacts.of(self.config)
        self._listed = False  # whether the disk itself knows of the files
        lines = list(records)
        self._on_disk = [record.id for record in lines]
        self._records = {record.id: record for record in lines}
        self._calls = {call.record: call for call in calls}

    @classmethod
    def create(cls, folder: Path, config: Mapping[str, Any], resume: bool = True) -> Self:
        """Opens `folder` for writing, new or to be continued.

        Args:
            folder: made where it is missing.
            config: plain JSON values that say what the run does; two runs of equal config are the same run.
            resume: continue where records are already there.

        Raises:
            RunDiffers: there are records of another run.
            RunExists: there are records of this very run, and `resume` is False.
            RecordError: another process writes there; or the folder's files are broken, or not a run's.
        """
        wanted = _plain(config)
        if not path_inside(folder, RUN).exists():
            strays = [name for name in (RECORDS, CALLS) if (folder / name).exists()]
            if strays:
                raise RecordError(f"a run's folder has a {RUN}, but {folder} has only {strays[0]}: pass another --out")
            return cls._begin(folder, wanted)
        lock = _locked(folder)
        try:
            store = cls.open(folder)
            if not store._records:  # a run that ended before its first record leaves nothing to protect
                return cls.restart(folder, wanted)
            count = f"{len(store._records)} record{'s' if len(store._records) != 1 else ''}"
            found = differences(store.config, wanted)
            if found:
                raise RunDiffers(
                    f"{folder} holds {count} of another run ({in_words(found)}): pass another --out", found
                )
            if not resume:
                raise RunExists(f"{folder} already holds {count} of this run: resume it, or pass another --out")
            for name in (RECORDS, CALLS):
                cut_torn_line(folder / name)
            store._hold()
            return store
        finally:
            lock.release()

    @classmethod
    def restart(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """Starts anew in `folder`: a run's files that are there are removed, other files are left alone.

        Raises:
            RecordError: another process writes there.
        """
        lock = _locked(folder) if folder.exists() else None
        try:
            for name in reversed(OWN_FILES):  # run.json last: while it is there, the folder is known to be a run's
                path_inside(folder, name).unlink(missing_ok=True)
            store = cls._begin(folder, _plain(config))
            store.drop_figures()
            return store
        finally:
            if lock is not None:
                lock.release()

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
            held = parse_json(read_file(folder, RUN))
            config, digest = held["config"], held["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path} is not a run's configuration ({error!r}): pass another --out") from error
        if not isinstance(config, dict) or sha256_json(config) != digest:
            raise RecordError(f"{path} was changed after the run began (its hash differs): pass another --out")
        facts = RunFacts.of(config)  # whoever edits a score cannot move its metric's range: run.json has a hash
        records, torn = load_lines(folder / RECORDS, Record)
        calls, torn_call = load_lines(folder / CALLS, Call)
        notes = [
            f"{name}: the last line was cut short and is dropped; running again makes it again"
            for name, cut in ((RECORDS, torn), (CALLS, torn_call))
            if cut
        ]
        seen: dict[str, Record] = {}
        for record in records:
            earlier = seen.get(record.id, record)
            if earlier != record and earlier.status != "failed":
                raise RecordError(f"{folder / RECORDS} holds two different records {record.id}: pass another --out")
            seen[record.id] = record
            facts.check(record.task, record.scores, f"{folder / RECORDS}, record {record.id[:12]}")
        return cls(folder, config, records, calls, notes)

    @classmethod
    def _begin(cls, folder: Path, config: dict[str, Any]) -> Self:
        held = {"format": FORMAT, "sha256": sha256_json(config), "config": config}
        store = cls(folder, config, (), ())
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(f"a run needs a folder, {folder} cannot be one ({error}): pass another --out") from error
        store._hold()
        write_text(folder, RUN, json.dumps(held, indent=2, allow_nan=False) + "\n")
        return store

    def _hold(self) -> None:
        """Keeps other processes out for as long as this store lives."""
        self._release = weakref.finalize(self, _locked(self.folder).release)

    def close(self) -> None:
        """Lets others write there; this store must append no more."""
        self._release()

    @property
    def records(self) -> list[Record]:
        """Every record, in the order made."""
        return list(self._records.values())

    @property
    def calls(self) -> list[Call]:
        """The last call of each record that has one."""
        return list(self._calls.values())

    def __contains__(self, record_id: object) -> bool:
        """True where the record (`CellKey.record_id`) is made for good; one whose call failed is to be asked again."""
        return isinstance(record_id, str) and record_id in self._records and not self._failed(record_id)

    def append(self, records: Sequence[Record], calls: Sequence[Call] = (), *, sync: bool = True) -> None:
        """Adds records, all or none; one that is there as failed is replaced.

        On return they survive the end of this process; with `sync` (or after a later `sync()`), also that of the
        machine.

        Raises:
            RecordError: a record is already there or has a score that its metric cannot have, a call belongs to no
                record, or the disk does not take them.
        """
        for record in records:
            self.facts.check(record.task, record.scores, f"record of {record.sample_id}")
        batch = {record.id: record for record in records}
        twice = next((r.id for r in records if r.id in self._records and not self._failed(r.id)), None)
        if twice or len(batch) != len(records):
            raise RecordError(f"a record is appended once, {twice or 'one of this batch'} came twice: check the plan")
        stray = next((c.record for c in calls if c.record not in batch and c.record not in self._records), None)
        if stray:
            raise RecordError(f"a call belongs to a record, there is none of id {stray}: append the record first")
        # Calls first: one without its record is made again with it, while a record is never without its call.
        append_lines(path_inside(self.folder, CALLS), [call.line() for call in calls], sync=sync)
        append_lines(path_inside(self.folder, RECORDS), [record.line() for record in records], sync=sync)
        self._on_disk += batch
        self._records.update(batch)
        self._calls.update((call.record, call) for call in calls)

    def sync(self) -> None:
        """Brings what was appended without `sync` to the disk itself."""
        for name in (CALLS, RECORDS):
            sync_file(path_inside(self.folder, name))
        if not self._listed:
            sync_folder(self.folder)
            self._listed = True

    def arrange(self, order: Iterable[str]) -> None:
        """Puts the records into an order of ids, in memory and on disk, each id once; others follow after.

        So a run that was stopped and resumed, or whose answers came out of order, ends with the same bytes as one
        that was left alone.
        """
        wanted = [record_id for record_id in dict.fromkeys(order) if record_id in self._records]
        self._records = {name: self._records[name] for name in dict.fromkeys([*wanted, *self._records])}
        if self._on_disk != list(self._records):
            self._write_records()

    def correct(self, records: Iterable[Record], note: str, *, write: bool) -> None:
        """Replaces records that are there by others of the same ids.

        Args:
            records: as they should have been.
            note: added to `notes`.
            write: also in the file; else in memory alone.

        Raises:
            RecordError: the disk does not take them.
        """
        self._records |= {record.id: record for record in records if record.id in self._records}
        self.notes = (*self.notes, note)
        if write:
            self._write_records()

    def write_text(self, name: str, text: str) -> Path:
        """Writes one more file of the run, whole or not at all. Raises RecordError."""
        return write_text(self.folder, name, text)

    def write_figure(self, name: str, png: bytes) -> Path:
        """Writes `figure-NAME.png`, whole or not at all. Raises RecordError."""
        return write_bytes(self.folder, f"{FIGURE}{name}.png", png)

    def drop_figures(self) -> None:
        """Removes the figures of an earlier report."""
        for path in self.folder.glob(f"{FIGURE}*.png"):
            path.unlink()

    def _write_records(self) -> None:
        self.write_text(RECORDS, "".join(record.line() + "\n" for record in self._records.values()))
        self._on_disk = list(self._records)

    def _failed(self, record_id: str) -> bool:
        return self._records[record_id].status == "failed"


def _locked(folder: Path) -> FileLock:
    """The folder's lock, taken. Within a process it is one lock, taken and given back any number of times.

    Raises:
        RecordError: another process has it, or the folder cannot be written.
    """
    lock = FileLock(path_inside(folder, LOCK), is_singleton=True, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RecordError(
            f"one run writes to a folder at a time, another process writes to {folder}: wait for it, stop it, or "
            "pass another --out"
        ) from error
    except OSError as error:
        raise RecordError(f"a run's folder must be writable, {folder} is not ({error}): pass another --out") from error
    return lock


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as JSON gives it back, so that a tuple equals the list it was stored as."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(config), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise RecordError(f"a run's configuration is plain JSON values ({error}): convert it first") from error
    return plain
