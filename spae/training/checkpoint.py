"""Checkpoints of a run: safetensors and JSON, written atomically, never unpickled.

A run's folder holds `step-NNNNNN.safetensors` (weights, averaged weights, optimizer moments and what else the state of
training has; the step, the recipe and a checksum in its header), `latest` with the name of the newest of them, and, at
the end, `model.safetensors` with `config.json`. A file appears under its name when all of it is on the disk, so a kill
at any moment leaves the one before.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spae.atomic import atomic_path
from spae.errors import TrainingError

KEEP = 2
LATEST = "latest"
PATTERN = "step-*.safetensors"
NONE = "none: the run has written none yet"

Groups = dict[str, dict[str, Tensor]]


def save_checkpoint(
    folder: Path, step: int, recipe: Mapping[str, object], groups: Mapping[str, Mapping[str, Tensor]], keep: int = KEEP
) -> Path:
    """Write the state after `step` steps, then point `latest` at it and drop all but the newest few.

    Args:
        recipe: its fields in JSON's types.
        groups: tensors by group ("model", "ema", "optimizer", ...) and name.
        keep: how many checkpoints stay.
    """
    tensors = {
        f"{group}/{name}": value.detach().to("cpu", copy=True).contiguous()
        for group, part in groups.items()
        for name, value in part.items()
    }
    header = {"step": str(step), "recipe": json.dumps(recipe, sort_keys=True), "crc32": _checksum(tensors)}
    path = folder / f"step-{step:06d}.safetensors"
    with durable_path(path) as draft:
        save_file(tensors, draft, header)
    with durable_path(folder / LATEST) as draft:
        draft.write_text(path.name + "\n", encoding="utf-8")
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(
    folder: Path, recipe: Mapping[str, object], say: Callable[[str], object] = lambda line: None
) -> tuple[int, Groups]:
    """The newest checkpoint that is whole: its step and its groups.

    Args:
        recipe: fields of the recipe that is to go on.
        say: told, in one line each, of checkpoints that are damaged.

    Raises:
        TrainingError: there is none, all are damaged, or it was made by another recipe.
    """
    damaged = []
    for path in reversed(checkpoints(folder)):
        try:
            made_by, step, groups = read_checkpoint(path)
        except (SafetensorError, ValueError, KeyError, OSError) as error:
            reason = " ".join(str(error).split())[:120]
            say(f"{path} is damaged ({reason}): going on from the checkpoint before it")
            damaged.append(path)
            continue
        check_same_recipe(path, made_by, recipe)
        return step, groups
    if damaged:
        raise TrainingError(f"{folder} holds damaged checkpoints only, {damaged[0].name} the newest: train into "
                            "another folder")  # fmt: skip
    raise TrainingError(f"{folder} holds no checkpoint to resume from: run without --resume")


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, oldest first."""
    found = [path for path in folder.glob(PATTERN) if _step(path) is not None]
    return sorted(found, key=lambda path: _step(path) or 0)


def last_good(folder: Path) -> str:
    """The newest checkpoint as messages name it."""
    found = checkpoints(folder)
    return str(found[-1]) if found else NONE


def read_checkpoint(path: Path) -> tuple[dict[str, object], int, Groups]:
    """A checkpoint's recipe, step and groups.

    Raises:
        SafetensorError, ValueError, KeyError, OSError: it is not a whole checkpoint.
    """
    tensors: dict[str, Tensor] = {}
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        for key in file.keys():  # noqa: SIM118 (an open safetensors file is no mapping)
            tensors[key] = file.get_tensor(key)
    if header["crc32"] != _checksum(tensors):
        raise ValueError(f"its checksum is {_checksum(tensors)}, its header says {header['crc32']}")
    groups: Groups = {}
    for key, value in tensors.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = value
    recipe = json.loads(header["recipe"])
    if not isinstance(recipe, dict):
        raise ValueError("its recipe is no JSON object")
    return recipe, int(header["step"]), groups


def set_aside(folder: Path, step: int) -> list[Path]:
    """Rename the checkpoints after `step`, which a run goes on from: they did not prove whole.

    Left under their names they would count among the newest that are kept. Returns their new names.
    """
    renamed = []
    for path in checkpoints(folder):
        if (_step(path) or 0) > step:
            renamed.append(path.rename(path.with_suffix(".damaged")))
    return renamed


def check_same_recipe(path: Path, made_by: Mapping[str, object], recipe: Mapping[str, object]) -> None:
    """Raises TrainingError that names the first field in which the two differ."""
    for field in [*recipe, *made_by]:
        if field not in made_by or field not in recipe:
            raise TrainingError(f"{path} was made by another version of this package, whose recipes differ in {field}: "
                                "resume with that version, or train into another folder")  # fmt: skip
        if made_by[field] != recipe[field]:
            raise TrainingError(
                f"{path} was made by another recipe: {field} was {json.dumps(made_by[field])}, now it is "
                f"{json.dumps(recipe[field])}: resume with the same settings, or train into another folder"
            )


@contextmanager
def durable_path(target: Path) -> Iterator[Path]:
    """As `atomic_path`, and what was written is on the disk before it has its name."""
    with atomic_path(target) as draft:
        yield draft
        _sync(draft)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync(target.parent)


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """Adam's moments and step counts as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{names[i]}/{key}": torch.as_tensor(value) for i, part in state.items() for key, value in part.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, names: list[str], tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    place = {name: i for i, name in enumerate(names)}
    for key, value in tensors.items():
        name, _, part = key.rpartition("/")
        state.setdefault(place[name], {})[part] = value
    whole = optimizer.state_dict()
    whole["state"] = state
    optimizer.load_state_dict(whole)


def write_json(path: Path, value: object) -> None:
    """Indented JSON, atomically."""
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 over names and bytes: finds damage, not malice."""
    value = 0
    for name in sorted(tensors):
        value = zlib.crc32(name.encode(), value)
        value = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def _step(path: Path) -> int | None:
    text = path.stem.removeprefix("step-")
    return int(text) if text.isdecimal() else None


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
