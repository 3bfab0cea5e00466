"""A run's folder: its lock and its checkpoints, safetensors written atomically.

The folder holds `step-NNNNNN.safetensors` (the state of training; the step, the recipe and a checksum in its header),
`latest` with the name of the newest of them, and, at the end, `model.safetensors` with `config.json`. A file appears
under its name once all of it is on the disk, so a kill at any moment leaves the previous one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spae.atomic import atomic_path, write_text
from spae.errors import TrainingError
from spae.regular_file import check_regular, parse_json

LOCK = ".lock"
KEEP = 2
LATEST = "latest"
PATTERN = "step-*.safetensors"
NO_CHECKPOINT = "none: the run has written none yet"

Groups = dict[str, dict[str, Tensor]]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder, created if missing, for this process alone; the lock ends with the process.

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
    """Raises TrainingError if the folder holds checkpoints."""
    if checkpoints(folder):
        raise TrainingError(f"{folder} holds checkpoints of a run: pass --resume, or --out another folder")


def save_checkpoint(
    folder: Path, step: int, recipe: Mapping[str, object], groups: Mapping[str, Mapping[str, Tensor]], keep: int = KEEP
) -> Path:
    """Write the state after `step` steps, then point `latest` at it and delete all but the newest few.

    Args:
        recipe: its groups in JSON's types.
        groups: tensors by group ("model", "ema", "optimizer", ...) and name.
        keep: number of checkpoints to keep.
    """
    tensors = {
        f"{group}/{name}": value.detach().to("cpu", copy=True).contiguous()
        for group, part in groups.items()
        for name, value in part.items()
    }
    header = {"step": str(step), "recipe": json.dumps(recipe, sort_keys=True), "crc32": _checksum(tensors)}
    path = folder / f"step-{step:06d}.safetensors"
    with atomic_path(path, durable=True) as draft:
        save_file(tensors, draft, header)
    write_text(folder / LATEST, path.name + "\n")
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(
    folder: Path, recipe: Mapping[str, object], warn: Callable[[str], object] = lambda line: None
) -> tuple[int, Groups]:
    """The newest undamaged checkpoint: its step and its groups.

    Args:
        recipe: groups of the recipe to resume.
        warn: called with one line for each damaged checkpoint.

    Raises:
        TrainingError: no checkpoint, only damaged ones, or one of another recipe.
    """
    damaged = []
    for path in reversed(checkpoints(folder)):
        try:
            made_by, step, groups = read_checkpoint(path)
        except (SafetensorError, ValueError, KeyError, OSError) as error:
            reason = " ".join(str(error).split())[:120]
            warn(f"{path} is damaged ({reason}): resuming from the previous checkpoint")
            damaged.append(path)
            continue
        check_same_recipe(path, made_by, recipe)
        return step, groups
    if damaged:
        raise TrainingError(
            f"{folder} holds damaged checkpoints only, {damaged[0].name} the newest: train into another folder"
        )
    raise TrainingError(f"{folder} holds no checkpoint to resume from: run without --resume")


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, oldest first."""
    found = [path for path in folder.glob(PATTERN) if _step(path) is not None]
    return sorted(found, key=lambda path: _step(path) or 0)


def last_good(folder: Path) -> str:
    """The path of the newest checkpoint for messages, or that there is none."""
    found = checkpoints(folder)
    return str(found[-1]) if found else NO_CHECKPOINT


def read_checkpoint(path: Path) -> tuple[dict[str, object], int, Groups]:
    """A checkpoint's recipe, step and groups.

    Raises:
        SafetensorError, ValueError, KeyError, OSError: it is damaged, or no checkpoint.
    """
    tensors: dict[str, Tensor] = {}
    check_regular(path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        for key in file.keys():  # noqa: SIM118 (an open safetensors file is no mapping)
            tensors[key] = file.get_tensor(key)
    if header["crc32"] != _checksum(tensors):
        raise ValueError(f"checksum {_checksum(tensors)} differs from {header['crc32']} in its header")
    groups: Groups = {}
    for key, value in tensors.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = value
    recipe = parse_json(header["recipe"].encode())
    if not isinstance(recipe, dict):
        raise ValueError("its recipe is no JSON object")
    if not (header["step"].isdecimal() and len(header["step"]) < 16):
        raise ValueError(f"its header says step {header['step'][:20]!r}")
    return recipe, int(header["step"]), groups


def set_aside(folder: Path, step: int) -> list[Path]:
    """Rename the checkpoints after `step`, from which a run resumes: they are damaged.

    Under their old names they would count among the newest that are kept. Returns the new paths.
    """
    renamed = []
    for path in checkpoints(folder):
        if (_step(path) or 0) > step:
            renamed.append(path.rename(path.with_suffix(".damaged")))
    return renamed


def check_same_recipe(path: Path, made_by: Mapping[str, object], recipe: Mapping[str, object]) -> None:
    """Raises TrainingError that names the first field in which the two differ, as GROUP.FIELD."""
    theirs, ours = _flat(made_by), _flat(recipe)
    for field in [*ours, *theirs]:
        if field not in theirs or field not in ours:
            raise TrainingError(
                f"{path} was made by another version of this package, whose recipes differ in {field}: resume with "
                "that version, or train into another folder"
            )
        if theirs[field] != ours[field]:
            raise TrainingError(
                f"{path} was made by another recipe: {field} was {json.dumps(theirs[field])}, now it is "
                f"{json.dumps(ours[field])}: resume with the same settings, or train into another folder"
            )


def _flat(recipe: Mapping[str, object]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in recipe.items():
        if isinstance(value, dict):
            fields |= {f"{name}.{key}": one for key, one in value.items()}
        else:
            fields[name] = value
    return fields


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
