"""`check BASELINE`: whether the present code still makes of a baseline's replies what it recorded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.config import RunConfig
from benchmarks.errors import UsageError
from benchmarks.plan import make_plan
from benchmarks.replay import Replies, replay
from llm_backends.context import ContextLimit
from llm_backends.errors import BackendError
from llm_backends.protocol import Identity
from llm_backends.registry import BUILT_IN, open_backend
from results.display import visible
from results.errors import first_fault
from results.jsonl import write_text
from results.regression.baseline import REPLIES, Baseline, BaselineError, read_baseline
from results.regression.drift import Drift, find_drifts
from results.regression.junit import junit_xml

ROWS = 12
"""Drifts of one kind that the table shows; all of them are counted, and JUnit has them all."""
DIFFS = 3
DIFF_LINES = 40


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        baseline: as recorded.
        drifts: everything that differs; none where all is equal.
        replies: how many the file holds.
        seconds: wall time.
    """

    name: str
    baseline: Baseline
    drifts: tuple[Drift, ...]
    replies: int
    seconds: float


def check_baseline(folder: Path) -> Checked:
    """Replays a baseline from its own replies; opens no model, no other store and no socket.

    Raises:
        BaselineError: no baseline there, one of another format, or a broken one.
        SpaeError, TaskError, UsageError: what it names (a task, images, a tokenizer) is not there any more.
    """
    started = time.perf_counter()
    recorded = read_baseline(folder)
    try:
        config = RunConfig.model_validate(recorded.facts.config)
        llm = Identity.model_validate(recorded.facts.llm)
    except ValidationError as error:
        raise BaselineError(
            f"{folder} was made by another version of this program ({first_fault(error, 'config')}): make it anew with "
            "`baseline RUN`"
        ) from error
    try:
        replies = Replies.read(folder / REPLIES)
    except BackendError as error:
        raise BaselineError(f"{folder / REPLIES} is no file of replies ({error}): restore it") from error
    infeasible = {line.place: (line.request, line.detail) for line in recorded.questions if line.status == "infeasible"}
    model, context_length = _model_now(config, llm, recorded.facts.context_length)
    now, _ = replay(make_plan(config), llm, context_length, replies, infeasible)
    # Replies were looked up under the model that gave them; which one the name stands for today is compared as a fact.
    facts = now.baseline.facts.model_copy(update={"llm": model.model_dump(mode="json")})
    drifts = find_drifts(recorded, replace(now, baseline=replace(now.baseline, facts=facts)))
    held = len(replies.digests) + len(replies.broken)
    return Checked(folder.resolve().name, recorded, tuple(drifts), held, time.perf_counter() - started)


def print_check(checked: Checked, console: Console) -> None:
    """The verdict on one line; before it, where there are drifts, their table and the first diffs of prompts."""
    counts = Counter(drift.kind for drift in checked.drifts)
    said = f"{len(checked.baseline.questions)} records, {len(checked.baseline.cells)} cells, {checked.replies} replies"
    if not checked.drifts:
        console.print(f"{checked.name}: equal ({said}; {checked.seconds:.1f} s)", highlight=False, markup=False)
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
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    console.print(f"{checked.name}: drifted ({told}; of {said})", highlight=False, markup=False)


def write_junit(checked: Checked, file: Path) -> None:
    """Writes the check as JUnit XML, atomically.

    Raises:
        UsageError: the file cannot be written.
    """
    text = junit_xml(checked.name, checked.baseline.cells, checked.drifts, checked.seconds)
    try:
        write_text(file.parent, file.name, text)
    except OSError as error:
        raise UsageError(f"--junit needs a file that can be written, {file} is none ({error})") from error


def _print_diffs(drifts: Sequence[Drift], console: Console) -> None:
    for drift in drifts[:DIFFS]:
        lines = drift.diff.split("\n")
        more = len(lines) - DIFF_LINES
        shown = [*lines[:DIFF_LINES], *([f"... {more} more lines"] if more > 0 else [])]
        console.print(f"\n{visible(drift.where)}:", highlight=False, markup=False)
        console.print("\n".join(shown), highlight=False, markup=False, soft_wrap=True)
    if len(drifts) > DIFFS:
        console.print(f"\n... and {len(drifts) - DIFFS} more cells whose prompts changed", highlight=False)


def _model_now(config: RunConfig, recorded: Identity, context_length: int | None) -> tuple[Identity, int | None]:
    """The model that the configuration names today, where that is known without a file, a server or a download."""
    if not any(entry.name == config.llm and not entry.argument for entry in BUILT_IN):
        return recorded, context_length
    try:
        backend = open_backend(config.llm, dtype=config.dtype)
        return backend.identity, ContextLimit(backend, config.context_length).limit
    except BackendError:  # its package is not installed here: replies need none
        return recorded, context_length
