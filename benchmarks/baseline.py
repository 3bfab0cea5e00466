"""`baseline RUN`: what a finished run gave, as a small folder to commit and to check against."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks.config import RunConfig
from benchmarks.errors import UsageError
from benchmarks.plan import make_plan
from benchmarks.questions import Question, questions
from benchmarks.replay import Replies, place_of, replay, request_keys
from benchmarks.replies import reply_layers, reply_store
from llm_backends.cache.read_only_source import export
from llm_backends.errors import CacheMiss
from llm_backends.protocol import Identity
from results.differences import differences, in_words
from results.errors import first_fault
from results.record import Record
from results.regression.baseline import FILES, REPLIES, is_baseline, read_baseline, write_baseline
from results.regression.drift import find_drifts
from results.store import RunStore

LARGE = 5_000_000
"""Bytes from which on a baseline is hard to review: it is made, with a warning."""
TOO_LARGE = 50_000_000
"""Bytes that no repository should be given."""


def make_baseline(run: Path, out: Path, layers: Sequence[Path] = ()) -> int:
    """Writes the baseline of `run` to `out`, in the place of an earlier one; returns its size in bytes.

    What is written is replayed once from itself, so a baseline that was made is one that passes.

    Args:
        run: the --out of a complete run.
        out: the baseline's folder; whole or not at all.
        layers: more files of replies to take from, as the run's own --replies.

    Raises:
        UsageError: the run is not complete, does not fit the present code, data and replies, or is too large; or
            `out` holds something else.
        RecordError: `run` is no run's folder.
    """
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]) and not is_baseline(out):
        raise UsageError(f"a baseline takes the place of a baseline, {out} holds something else: pass another --out")
    store = RunStore.open(run)
    config = _config(run, store.config)
    plan = make_plan(config)
    llm, context_length = _model(run, store.config)
    held = differences(store.config, plan.run_config(llm, context_length))
    if held:
        raise UsageError(f"{run} is not what the same command would make now ({in_words(held)}): run it again")
    asked = list(questions(plan, llm))
    records = _complete(run, store.records, asked)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{out.name}.building-", dir=out.parent))
    except OSError as error:
        raise UsageError(f"a baseline needs a folder to be written in, {out.parent} is none ({error})") from error
    try:
        _export(run, asked, records, llm, layers, building / REPLIES)
        infeasible = {
            place_of(question): (request_keys(llm, question.request)[0], records[question.id].explanation)
            for question in asked
            if records[question.id].status == "infeasible"
        }
        now, made = replay(plan, llm, context_length, Replies.read(building / REPLIES), infeasible)
        for record in made:
            if record != records[record.id]:
                raise UsageError(
                    f"the stored replies must be {run}'s own, the one to {record.sample_id} ({record.tokenizer}, "
                    f"{record.scoring}) is another: run it again into another --out"
                )
        write_baseline(building, now.baseline)
        drifts = find_drifts(read_baseline(building), now)
        assert not drifts, f"a baseline is equal to itself, this one is not: {drifts[0]}"
        size = sum((building / name).stat().st_size for name in FILES)
        if size > TOO_LARGE:
            raise UsageError(f"a baseline has at most {TOO_LARGE:,} bytes, this one {size:,}: run fewer --limit")
        building.chmod(0o755)
        _swap(building, out)
        return size
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _config(run: Path, held: Mapping[str, Any]) -> RunConfig:
    try:
        return RunConfig.model_validate({name: held[name] for name in RunConfig.model_fields if name in held})
    except ValidationError as error:
        raise UsageError(f"{run} was not made by `run` of this version ({first_fault(error)}): run it again") from error


def _model(run: Path, held: Mapping[str, Any]) -> tuple[Identity, int | None]:
    try:
        return Identity.model_validate(held["llm_identity"]), held["llm_context_length"]
    except (KeyError, ValidationError) as error:
        raise UsageError(f"{run} was made by an earlier version, which did not note its model: run it again") from error


def _complete(run: Path, made: Sequence[Record], asked: Sequence[Question]) -> dict[str, Record]:
    """Records by id, one for every question, none of them failed."""
    records = {record.id: record for record in made}
    missing = sum(question.id not in records for question in asked)
    failed = sum(record.status == "failed" for record in made)
    if missing or failed:
        raise UsageError(
            f"a baseline needs an answer to every question, {run} has {missing} of {len(asked)} missing and {failed} "
            "failed: give the same run command again"
        )
    return records


def _export(
    run: Path, asked: Sequence[Question], records: Mapping[str, Record], llm: Identity, layers: Sequence[Path], to: Path
) -> None:
    answered = [question for question in asked if records[question.id].status != "infeasible"]
    keys = [key for question in answered for key in request_keys(llm, question.request)]
    try:
        export([reply_store(), *reply_layers(layers)], to, keys)
    except CacheMiss as error:
        raise UsageError(f"a baseline holds every reply of its run, one of {run} is not stored ({error})") from error


def _swap(building: Path, out: Path) -> None:
    """Puts a finished folder into its place; an earlier one is there until the moment before."""
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
