"""`--manifest FILE`: the samples that an earlier run wrote, for a run of any tokenizer and language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from spae.data.protocol import ImageSet
from spae.regular_file import MOST_INDEX, read_json
from tasks.protocol import ReadsSamples, Samples, Task


@dataclass(frozen=True)
class SavedSamples:
    """The manifests of a run, and the part of them that it uses.

    Attributes:
        files: one for each task of the run.
        settings: only these; None for all in a file.
        limit: only so many of each setting; None for all.
        seed: must be the file's, if given.
    """

    files: tuple[Path, ...]
    settings: tuple[str, ...] | None = None
    limit: int | None = None
    seed: int | None = None

    def by_task(self, tasks: Sequence[str]) -> dict[str, Path]:
        """The file of each task.

        Raises:
            UsageError: a task has no file or two, or a file is of another task, or of none.
        """
        found: dict[str, Path] = {}
        for file in self.files:
            task = _task_of(file)
            if task not in tasks:
                raise UsageError(
                    f"--manifest {file} is of {task!r}, the run is of {', '.join(tasks)}: drop one of them"
                )
            if task in found:
                raise UsageError(f"--manifest takes one file a task, got {found[task]} and {file} for {task}: drop one")
            found[task] = file
        missing = [task for task in tasks if task not in found]
        if missing:
            raise UsageError(f"--manifest needs a file for each task, got none for {missing[0]}: name it, too")
        return found

    def read(self, task: Task, file: Path, data: ImageSet) -> Samples:
        """The samples of one task.

        Raises:
            UsageError: the task cannot read saved samples, or they are of another seed.
            TaskError: the file is broken, or does not fit the data or the settings asked for.
        """
        if not isinstance(task, ReadsSamples):
            raise UsageError(f"--manifest needs a task that reads saved samples, {task.name} does not: leave it out")
        samples = task.saved(file, data, self.settings, self.limit)
        if self.seed is not None and self.seed != samples.seed:
            raise UsageError(f"--manifest {file} is of seed {samples.seed}, got --seed {self.seed}: leave --seed out")
        return samples


def _task_of(file: Path) -> str:
    try:
        content: Any = read_json(file, MOST_INDEX)
    except OSError as error:
        raise UsageError(f"--manifest {file} cannot be read ({error.strerror}): check the path") from error
    except ValueError as error:
        raise UsageError(f"--manifest {file} is no manifest ({str(error)[:80]}): name an episodes-TASK.json") from error
    task = content.get("task") if isinstance(content, dict) else None
    if not isinstance(task, str):
        raise UsageError(f"--manifest {file} is no manifest (it names no task): name an episodes-TASK.json of a run")
    return task
