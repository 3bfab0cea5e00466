"""`baseline RUN` keeps a finished run as a small folder; `check BASELINE` repeats it and compares."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.errors import UsageError
from benchmarks.plan import make_plan
from benchmarks.replay import recorded_config, replay
from benchmarks.reply_sources import export_run, read_only_sources
from benchmarks.scorer_cases import scorer_outcomes
from llm_backends.cache.maintenance import check_file
from llm_backends.errors import BackendError, CacheMiss
from results.display import one_line, visible
from results.errors import BaselineError
from results.regression.baseline import (
    FILES,
    REPLIES,
    Baseline,
    is_baseline,
    read_baseline,
    write_baseline,
)
from results.regression.drift import Drift, find_drifts
from results.regression.junit import junit_xml
from results.store import RunStore
from spae.atomic import write_text

LARGE = 5_000_000
"""Bytes from which on a baseline is hard to review: a warning."""
TOO_LARGE = 50_000_000
"""Bytes from which on a baseline is refused."""
ROWS = 12
"""Drifts of one kind in the printed table; JUnit has them all."""
DIFFS = 3
DIFF_LINES = 40


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        baseline: as recorded.
        drifts: everything that differs; empty if nothing does.
        replies: stored in the baseline.
        seconds: wall time.
    """

    name: str
    baseline: Baseline
    drifts: tuple[Drift, ...]
    replies: int
    seconds: float


def make_baseline(run: Path, out: Path, cache_files: Sequence[Path] = ()) -> int:
    """Writes the baseline of `run` to `out`, replacing an earlier one; returns its size in bytes.

    The new baseline is checked before it is put in place, so one that was made is one that passes.

    Args:
        run: the --out of a complete run.
        out: the baseline's folder; written whole or not at all.
        cache_files: more files of stored replies, as of the run's own --cache-file.

    Raises:
        UsageError: the run is incomplete or not what the present code makes of its replies, a reply is not stored,
            the baseline is too large, or `out` holds something else.
        RecordError, BaselineError: `run` is not the folder of a run, or one of another version.
    """
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]) and not is_baseline(out):
        raise UsageError(f"a baseline replaces only a baseline, {out} holds something else: pass another --out")
    store = RunStore.open(run)
    config, _ = recorded_config(store.config, run)
    failed = sum(record.status == "failed" for record in store.records)
    if failed or not store.records:
        held = f"{failed} of {len(store.records)} records failed" if failed else "no records"
        raise UsageError(f"a baseline needs a complete run, {run} has {held}: give the same run command again")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{out.name}.building-", dir=out.parent))
    except OSError as error:
        raise UsageError(f"a baseline needs a writable folder, {out.parent} is not one ({error})") from error
    try:
        try:
            export_run(run, building / REPLIES, read_only_sources(cache_files))
        except CacheMiss as error:
            raise UsageError(f"a baseline holds every reply of its run, one of {run} is missing ({error})") from error
        write_baseline(run, building, scorer_outcomes(make_plan(config)))
        _check_new(run, building)
        size = sum((building / name).stat().st_size for name in FILES)
        if size > TOO_LARGE:
            raise UsageError(f"a baseline has at most {TOO_LARGE:,} bytes, this one {size:,}: run fewer --limit")
        building.chmod(0o755)
        _swap(building, out)
        return size
    finally:
        shutil.rmtree(building, ignore_errors=True)


def check_baseline(folder: Path) -> Checked:
    """Repeats a baseline's run from its own replies; opens no model, no other store and no socket.

    Raises:
        BaselineError: no baseline there, or a broken one.
        SpaeError, TaskError, UsageError: what it names (a task, images, a tokenizer) does not exist any more.
    """
    started = time.perf_counter()
    recorded = read_baseline(folder)
    try:
        stored = check_file(folder / REPLIES)
    except BackendError as error:
        raise BaselineError(f"{folder / REPLIES} must be a file of replies ({error}): restore it") from error
    if stored.bad:  # a damaged reply is never used
        drifts = [Drift("damaged reply", one_line(bad.where), "as written", one_line(bad.reason)) for bad in stored.bad]
    else:
        drifts = find_drifts(recorded, replay(recorded, folder))
    return Checked(folder.resolve().name, recorded, tuple(drifts), stored.entries, time.perf_counter() - started)


def print_check(checked: Checked, console: Console) -> None:
    """The verdict on one line; before it, if anything drifted, a table and the first diffs."""
    counts = Counter(drift.kind for drift in checked.drifts)
    size = f"{len(checked.baseline.records)} records, {len(checked.baseline.cells)} cells, {checked.replies} replies"
    if not checked.drifts:
        console.print(f"{checked.name}: equal ({size}; {checked.seconds:.1f} s)", highlight=False, markup=False)
        return
    table = Table("drift", "where", "recorded", "now", title=f"{checked.name}: drifted", title_justify="left")
    for kind in counts:
        found = [drift for drift in checked.drifts if drift.kind == kind]
        for drift in found[:ROWS]:
            times = f" (and {drift.count - 1} more)" if drift.count > 1 else ""
            table.add_row(kind, *(Text(visible(text)) for text in (drift.where + times, drift.recorded, drift.now)))
        if len(found) > ROWS:
            table.add_row(kind, f"... {len(found) - ROWS} more", "", "")
    console.print(table)
    _print_diffs([drift for drift in checked.drifts if drift.diff], console)
    summary = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    console.print(f"{checked.name}: drifted ({summary}; of {size})", highlight=False, markup=False)


def write_junit(checked: Checked, file: Path) -> None:
    """Writes the check as JUnit XML, atomically.

    Raises:
        UsageError: the file cannot be written.
    """
    text = junit_xml(checked.name, checked.baseline.cells, checked.drifts, checked.seconds)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
    except OSError as error:
        raise UsageError(f"--junit needs a writable file, {file} is not one ({error})") from error


def _check_new(run: Path, building: Path) -> None:
    """Raises UsageError if the run is not what the present code makes of its replies."""
    drifts = check_baseline(building).drifts
    if not drifts:
        return
    first = drifts[0]
    if {drift.kind for drift in drifts} <= {"record", "aggregate"} and first.recorded == "none":
        missing = sum(drift.count for drift in drifts if drift.kind == "record")
        raise UsageError(
            f"a baseline needs a complete run, {run} lacks {missing} records: give the same run command again"
        )
    raise UsageError(
        f"{run} is not what the same command makes now ({first.kind} of {first.where}: {first.recorded} there, "
        f"{first.now} now): run it again into another --out"
    )


def _print_diffs(drifts: Sequence[Drift], console: Console) -> None:
    for drift in drifts[:DIFFS]:
        lines = drift.diff.split("\n")
        more = len(lines) - DIFF_LINES
        shown = [*lines[:DIFF_LINES], *([f"... {more} more lines"] if more > 0 else [])]
        console.print(f"\n{drift.kind} of {visible(drift.where)}:", highlight=False, markup=False)
        console.print("\n".join(shown), highlight=False, markup=False, soft_wrap=True)
    if len(drifts) > DIFFS:
        console.print(f"\n... and {len(drifts) - DIFFS} more diffs", highlight=False)


def _swap(building: Path, out: Path) -> None:
    """Puts a finished folder into place; an earlier one stays until the moment before."""
    if not out.exists():
        os.replace(building, out)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.old-", dir=out.parent))
    os.replace(out, aside / out.name)
    try:
        os.replace(building, out)
    except BaseException:
        os.replace(aside / out.name, out)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
