"""A baseline: a finished run, trimmed to what repeating it must reproduce, small enough to review.

run.json        as in the run's folder: its configuration, and the fingerprints of model, samples and tokenizers
records.jsonl   as in the run's folder
summary.json    the run's cells without `cached`, one per line: a changed number is a changed line
replies.jsonl   the LLM's replies, one per line, with the requests they answer
baseline.json   the sha256 of replies.jsonl, and what each scoring rule makes of a few invented replies

Equal runs give equal bytes; `results.regression.drift` says where two differ. `report` prints a baseline like a run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from results.analysis.aggregate import Cell, aggregate, check_cell
from results.errors import BaselineError, RecordError, first_fault
from results.jsonl import read_file
from results.record import Record
from results.run_facts import RunFacts
from results.store import RECORDS, RUN, SUMMARY, RunStore
from spae.atomic import MOST_LINES, write_text
from spae.canonical import Frozen, sha256_file
from spae.regular_file import parse_json

FACTS = "baseline.json"
REPLIES = "replies.jsonl"
FILES = (FACTS, RUN, RECORDS, SUMMARY, REPLIES)


class ScorerOutcomes(Frozen):
    """What a scoring rule makes of a few invented replies."""

    task: str
    scoring: str
    outcomes: dict[str, str] = Field(description="case -> status, scores, prediction and explanation, on one line")


class BaselineFacts(Frozen):
    """baseline.json."""

    format: Literal[1] = 1
    replies_sha256: str = Field(description="of the file replies.jsonl")
    scorers: tuple[ScorerOutcomes, ...]


@dataclass(frozen=True)
class Baseline:
    """What is compared of a baseline, or of the run that repeats it.

    Attributes:
        config: the run's configuration, as in run.json.
        records: in any order.
        cells: `aggregate` of the records, as the code of the time computed it.
    """

    config: dict[str, Any]
    records: tuple[Record, ...]
    cells: tuple[Cell, ...]
    facts: BaselineFacts


def of_run(run: Path, replies: Path, scorers: Sequence[ScorerOutcomes]) -> Baseline:
    """A finished run as a baseline.

    Args:
        run: its folder.
        replies: the file of its replies.
        scorers: outcomes of the present scoring rules.

    Raises:
        RecordError: the folder holds no run.
    """
    store = RunStore.open(run)
    facts = BaselineFacts(replies_sha256=sha256_file(replies), scorers=tuple(scorers))
    cells = aggregate(store.records, facts=RunFacts.of(store.config))
    return Baseline(store.config, tuple(store.records), tuple(cells), facts)


def write_baseline(run: Path, folder: Path, scorers: Sequence[ScorerOutcomes]) -> None:
    """Writes the baseline of a run to a folder that has its replies.jsonl; equal runs give equal bytes.

    Raises:
        RecordError: `run` holds no run.
        OSError: the folder cannot be written.
    """
    baseline = of_run(run, folder / REPLIES, scorers)
    for name in (RUN, RECORDS):
        write_text(folder / name, read_file(run, name, MOST_LINES).decode())
    cells = [json.dumps(cell.model_dump(mode="json", exclude={"cached"}), allow_nan=False) for cell in baseline.cells]
    write_text(folder / SUMMARY, "[\n" + ",\n".join(cells) + "\n]\n")
    facts = json.dumps(baseline.facts.model_dump(mode="json"), indent=2, sort_keys=True)
    write_text(folder / FACTS, facts + "\n")


def read_baseline(folder: Path) -> Baseline:
    """Reads what `write_baseline` wrote; of replies.jsonl only that it is there.

    Raises:
        BaselineError: no baseline there, or a broken file.
    """
    if not is_baseline(folder):
        raise BaselineError(f"a baseline's folder has a {FACTS}, {folder} has none: make one with `baseline RUN`")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise BaselineError(f"a baseline has {', '.join(FILES)}, {folder} lacks {', '.join(missing)}: restore it")
    try:
        facts = BaselineFacts.model_validate_json(read_file(folder, FACTS))
        cells = [Cell.model_validate({**cell, "cached": 0}) for cell in parse_json(read_file(folder, SUMMARY))]
        store = RunStore.open(folder)
        for cell in cells:
            check_cell(cell, RunFacts.of(store.config), str(folder / SUMMARY))
    except ValidationError as error:
        raise BaselineError(f"{folder} must be a whole baseline ({first_fault(error)}): restore it") from error
    except (OSError, ValueError, TypeError, RecordError) as error:
        raise BaselineError(f"{folder} must be a whole baseline ({error}): restore it") from error
    if store.notes:
        raise BaselineError(f"{folder / RECORDS} must be whole, its last line is cut short: restore it")
    return Baseline(store.config, tuple(store.records), tuple(cells), facts)


def is_baseline(folder: Path) -> bool:
    """Whether the folder holds a baseline, whole or not."""
    return (folder / FACTS).is_file()
