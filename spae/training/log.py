"""The log of a run: `log.jsonl`, TensorBoard and, with --wandb, Weights & Biases."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from spae.atomic import write_text
from spae.errors import InputError
from spae.regular_file import MOST_INDEX, read_bytes

LOG = "log.jsonl"
INSTALL_WANDB = "pip install 'spae-bench[wandb]'"


class RunLog(AbstractContextManager["RunLog"]):
    """The log of one run; a resumed run appends to the same files.

    Args:
        folder: of the run.
        start: the step that the run starts or resumes at.
        name: the recipe's name.
        settings: the recipe, for Weights & Biases.
        wandb: log to Weights & Biases, too. Its key comes from its own login or environment, and is not read here.

    Raises:
        InputError: `wandb` without the package.
    """

    def __init__(self, folder: Path, start: int, name: str, settings: Mapping[str, Any], wandb: bool = False) -> None:
        self._wandb = _open_wandb(folder, name, settings) if wandb else None
        trim_log(folder, start)
        self._file = (folder / LOG).open("a", encoding="utf-8")
        # Events after that step are logged again.
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write values by name after `step` steps. A non-finite number becomes null: JSON has no NaN."""
        rounded = {name: round(value, 6) if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step} | rounded) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(dict(values), step=step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if kind is None else 1)


def _open_wandb(folder: Path, name: str, settings: Mapping[str, Any]) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise InputError(f"--wandb needs the package wandb: {INSTALL_WANDB}, or leave --wandb out") from error
    # The folder's name is the run's id, so that a resumed run extends the same curves.
    return wandb.init(
        project="spae", name=name, id=folder.resolve().name, dir=str(folder), config=dict(settings), resume="allow"
    )


def trim_log(folder: Path, start: int) -> None:
    """Delete the lines of `log.jsonl` past the step that a run resumes at: they will be logged again."""
    kept = [line for line in read_log(folder / LOG) if line["step"] <= start]
    write_text(folder / LOG, "".join(json.dumps(line) + "\n" for line in kept))


def read_log(log: Path) -> list[dict[str, float]]:
    """The lines of a log, without one that a kill cut short."""
    lines = []
    for line in read_bytes(log, MOST_INDEX).decode("utf-8", "replace").splitlines() if log.exists() else []:
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict) and isinstance(value.get("step"), int):
            lines.append(value)
    return lines
