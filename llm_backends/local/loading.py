"""Loading a model folder onto a device (safetensors only), and the memory for its batches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_backends.errors import BackendInputError, BackendUnavailable

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

DTYPES = ("float32", "bfloat16", "float16")
CPU_BATCH_BYTES = 512 << 20
"""Keys and values of one batch on a processor, where larger batches are not faster."""
FREE_SHARE = 0.25
"""Of an accelerator's free memory, for keys and values; a pass copies them, and computes activations and logits."""


def checked_dtype(dtype: str) -> str:
    """The same name. Raises BackendInputError for an unknown one."""
    if dtype not in DTYPES:
        raise BackendInputError(f"dtype is one of {', '.join(DTYPES)}, got {dtype!r}")
    return dtype


def checked_device(device: str) -> str:
    """The same name. Raises BackendInputError unless it is like "auto", "cpu", "cuda", "cuda:1" or "mps".

    Imports nothing; `find_device` checks that the device exists.
    """
    kind, colon, number = device.partition(":")
    if not kind.isalpha() or not kind.islower() or (colon and not (number.isdecimal() and number.isascii())):
        raise BackendInputError(f"a device is auto, cpu, cuda, cuda:1 or mps, got {device!r}")
    return device


def find_device(device: str) -> torch.device:
    """The device of that name; "auto" is the first CUDA device, if any, else the processor.

    Raises:
        BackendUnavailable: torch knows no such device, or this machine has none.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, AttributeError, ImportError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BackendUnavailable(
            f"device {device} cannot be used here ({reason[:160]}): use --device cpu, or leave --device out"
        ) from error
    return found


def load_model(folder: Path, dtype: str, device: str) -> PreTrainedModel:
    """A causal model in eval mode.

    Args:
        folder: holds config.json and *.safetensors: nothing here unpickles.
        dtype: one of DTYPES.
        device: as `find_device` takes it.

    Raises:
        BackendUnavailable: the folder does not load as a causal model, or does not fit on the device.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would break the run's own progress bar
    place = find_device(device)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, checked_dtype(dtype)), use_safetensors=True, local_files_only=True
        )
        model.to(place)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BackendUnavailable(f"{folder} does not load as a causal model on {place}: {reason}") from error
    return model.eval()


def batch_cells(device: torch.device, cell_bytes: int) -> int:
    """Cells that fit in the memory for one batch, at `cell_bytes` each; 1 for a model without batches."""
    import torch

    if cell_bytes == 0:
        return 1
    room = CPU_BATCH_BYTES
    if device.type == "cuda":
        room = int(torch.cuda.mem_get_info(device)[0] * FREE_SHARE)
    return room // cell_bytes


def free_memory(device: torch.device) -> None:
    """Returns the allocator's unused memory to the device."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
