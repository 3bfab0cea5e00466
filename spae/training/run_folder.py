"""A run's folder: held by one trainer at a time, and swept of what a killed one left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from spae.atomic import atomic_path
from spae.errors import TrainingError
from spae.training.checkpoint import PATTERN

LOCK = ".lock"
LOG = "log.jsonl"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, made where there is none, for this process alone; the system lets go of it when the process dies.

    Raises:
        TrainingError: another process trains into it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TrainingError(
            f"{folder} is in use by another trainer: wait for it to end, or train into another folder"
        ) from None
    try:
        # Drafts of files that a killed trainer was writing.
        for draft in folder.glob(".*.part"):
            draft.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def check_unused(folder: Path) -> None:
    """Raises TrainingError: there are checkpoints in it."""
    if any(folder.glob(PATTERN)):
        raise TrainingError(f"{folder} holds checkpoints of a run: pass --resume, or --out another folder")


def trim_log(folder: Path, start: int) -> None:
    """Drop the lines of `log.jsonl` past the step that a run is resumed from: they will be made again."""
    log = folder / LOG
    kept = [line for line in read_log(log) if line["step"] <= start]
    with atomic_path(log) as draft:
        draft.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


def read_log(log: Path) -> list[dict[str, float]]:
    """The whole lines of a log; one that a kill cut off is left out."""
    lines = []
    for line in log.read_text("utf-8", errors="replace").splitlines() if log.exists() else []:
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict) and isinstance(value.get("step"), int):
            lines.append(value)
    return lines
