"""Checkpoints of a run: safetensors and JSON, written atomically, never unpickled.

A run's folder holds `step-NNNNNN.safetensors` (weights, averaged weights, optimizer moments; the
step and the recipe in its header) and, at the end, `model.safetensors` with `config.json`.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spae.cache_folder import atomic_path
from spae.errors import TrainingError

KEEP = 2


def save_checkpoint(folder: Path, step: int, recipe: str, groups: dict[str, dict[str, Tensor]]) -> Path:
    """Write the state after `step` steps and drop all but the newest two.

    Args:
        recipe: fingerprint of the recipe.
        groups: tensors by group ("model", "ema", "optimizer") and name.
    """
    tensors = {
        f"{group}/{name}": value.detach().clone() for group, part in groups.items() for name, value in part.items()
    }
    path = folder / f"step-{step:06d}.safetensors"
    with atomic_path(path) as draft:
        save_file(tensors, draft, {"step": str(step), "recipe": recipe})
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEEP]:
        old.unlink()
    return path


def load_checkpoint(folder: Path, recipe: str) -> tuple[int, dict[str, dict[str, Tensor]]]:
    """The newest checkpoint: its step and its groups.

    Raises:
        TrainingError: there is none, it is broken, or it was made by another recipe.
    """
    for path in sorted(folder.glob("step-*.safetensors"), reverse=True):
        try:
            return _read(path, recipe)
        except SafetensorError as error:
            raise TrainingError(f"{path} is broken ({error}): delete it to resume from the one before") from error
    raise TrainingError(f"{folder} holds no checkpoint to resume from: run without --resume")


def _read(path: Path, recipe: str) -> tuple[int, dict[str, dict[str, Tensor]]]:
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        if header.get("recipe") != recipe:
            raise TrainingError(
                f"{path} was made by another recipe ({header.get('recipe', 'none')[:12]}, this is {recipe[:12]}): "
                "resume with the same recipe and settings, or train into another folder"
            )
        groups: dict[str, dict[str, Tensor]] = {}
        for key in file.keys():  # noqa: SIM118 (an open safetensors file is no mapping)
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = file.get_tensor(key)
    return int(header["step"]), groups


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """Adam's moments and step counts as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{names[i]}/{key}": torch.as_tensor(value) for i, part in state.items() for key, value in part.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, names: list[str], tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, part = key.rpartition("/")
        state.setdefault(names.index(name), {})[part] = value
    whole = optimizer.state_dict()
    whole["state"] = state
    optimizer.load_state_dict(whole)


def write_json(path: Path, value: object) -> None:
    """Indented JSON, atomically."""
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
