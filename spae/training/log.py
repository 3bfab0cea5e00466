"""What a run writes about itself: `log.jsonl`, TensorBoard and, where asked, Weights & Biases."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from spae.errors import InputError
from spae.training.run_folder import LOG, trim_log

INSTALL_WANDB = "pip install 'spae-bench[wandb]'"


class RunLog(AbstractContextManager["RunLog"]):
    """The log of one run; a resumed one goes on in the same files.

    Args:
        folder: of the run.
        start: the step that the run begins or goes on at.
        name: of the recipe.
        settings: the recipe, for Weights & Biases.
        wandb: send everything there, too. Its key comes from its own login or environment and is not looked at here.

    Raises:
        InputError: `wandb` is asked for and not installed.
    """

    def __init__(self, folder: Path, start: int, name: str, settings: Mapping[str, Any], wandb: bool = False) -> None:
        self._wandb = _open_wandb(folder, name, settings) if wandb else None
        trim_log(folder, start)
        self._file = (folder / LOG).open("a", encoding="utf-8")
        # Of what was written after that step, nothing counts.
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Values by name after `step` steps. A number that is none is written as null: JSON has no NaN."""
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
    # The folder's name as the run's id: a resumed run goes on in the same curves.
    return wandb.init(
        project="spae", name=name, id=folder.resolve().name, dir=str(folder), config=dict(settings), resume="allow"
    )
