"""Loading a model folder onto a device (safetensors only), and the memory for its batches."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.local.model_config import check_config

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_log = logging.getLogger("llm_backends")
CAUSAL_TOKENS = 8
DTYPES = ("float32", "bfloat16", "float16")
DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
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
    if kind not in DEVICES or (colon and not (number.isdecimal() and number.isascii())):
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
        BackendUnavailable: the folder does not load as a causal model, lacks some of its weights, does not fit on the
            device, or is a model whose later tokens change what it says about earlier ones.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would break the run's own progress bar
    logging.set_verbosity_error()  # its tables of unused tensors run over many lines
    place = find_device(device)
    check_config(folder)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, checked_dtype(dtype)),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        model, found = loaded
        model.to(place).eval()
        causal = is_causal(model)
    except Exception as error:  # whatever transformers raises for a folder of others: any kind of error was seen
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise BackendUnavailable(f"{folder} does not load as a causal model on {place}: {reason}") from error
    if unused := sorted(found["unexpected_keys"]):
        said = "%s: %d tensors are no part of the model that config.json describes, such as %s: they are not used"
        _log.warning(said, folder, len(unused), unused[0])
    if found["missing_keys"]:
        names = sorted(found["missing_keys"])
        raise BackendUnavailable(
            f"a model needs all of its weights, {folder} lacks {len(names)}, such as {names[0]}: fetch the folder "
            "again, or name a causal language model"
        )
    if not causal:
        raise BackendUnavailable(
            f"a language model must read from left to right, in {type(model).__name__} of {folder} later tokens change "
            "what it says about earlier ones (an encoder, such as BERT): name a causal language model"
        )
    checked: PreTrainedModel = model
    return checked


def is_causal(model: PreTrainedModel) -> bool:
    """Whether a token leaves the log-probabilities of all earlier positions as they are (tried on nine tokens)."""
    import torch

    size = model.config.get_text_config().vocab_size
    ids = [(7 * i + 3) % size for i in range(CAUSAL_TOKENS)]
    with torch.inference_mode():
        rows = [
            model(input_ids=torch.tensor([[*ids, last]], device=model.device), use_cache=False).logits[0, :-1].float()
            for last in (1 % size, size - 1)
        ]
    apart = (rows[0].log_softmax(-1) - rows[1].log_softmax(-1)).abs().nan_to_num().max()
    # Both passes have one shape: a causal model gives the same numbers, up to the order in which experts sum.
    return float(apart) < (1e-4 if model.dtype == torch.float32 else 0.02)


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
