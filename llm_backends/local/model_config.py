"""A model folder's config.json, and whether its numbers can be those of the weights beside it.

transformers builds a model from its configuration before it looks at the weights. Zero heads divide by zero, negative
layers make a model without any, and a hundred thousand of them take all memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llm_backends.errors import BackendUnavailable
from spae.regular_file import MOST_INDEX, UnfitFile, check_regular, read_json

LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "num_key_value_heads")
WIDTHS = ("hidden_size", "n_embd", "d_model", "intermediate_size", "ffn_dim", "n_inner", "head_dim", "vocab_size")


def read_config(path: Path) -> dict[str, Any]:
    """The object in a config.json.

    Raises:
        BackendUnavailable: it cannot be read, or is no object.
    """
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise BackendUnavailable(f"a model folder needs a readable config.json, {path.parent}: {error}") from error
    if not isinstance(found, dict):
        raise BackendUnavailable(
            f"a model folder's config.json must hold an object, {path} holds a {type(found).__name__}: fetch it again"
        )
    return found


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part about the text model of one that also takes images or sound; the whole for others."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, Mapping) else config


def check_config(folder: Path) -> None:
    """Compares the numbers in config.json with the weights.

    Raises:
        BackendUnavailable: config.json or the header of a file of weights cannot be read, or a number cannot be true.
    """
    config = text_config(read_config(folder / "config.json"))
    _check_index(folder)
    shapes = list(_shapes(folder))
    largest = max(map(math.prod, shapes), default=0)
    for names, most, limit in (
        (LAYERS, len(shapes), f"the weights hold {len(shapes):,} tensors"),
        (HEADS, largest, f"their largest tensor has {largest:,} numbers"),
        (WIDTHS, largest, f"their largest tensor has {largest:,} numbers"),
    ):
        for name in names:
            value = config.get(name)
            if isinstance(value, int) and not 1 <= value <= most:
                limit = limit if value > 0 else "it must be at least 1"
                raise BackendUnavailable(
                    f"{folder / 'config.json'} and its weights must describe one model, {name} is {value:,} "
                    f"({limit}): fetch the folder again"
                )


def _check_index(folder: Path) -> None:
    """The index of weights in several files names files of the folder, and no others."""
    path = folder / "model.safetensors.index.json"
    if not path.exists():
        return
    try:
        names = set(read_json(path, MOST_INDEX)["weight_map"].values())
        wrong = next((name for name in sorted(names) if Path(name).name != name or not (folder / name).is_file()), None)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BackendUnavailable(
            f"{path} is no index of weights ({type(error).__name__}: {' '.join(str(error).split())[:120]}): fetch it "
            "again"
        ) from error
    if wrong is not None:
        raise BackendUnavailable(f"{path} must name files beside it, {wrong!r} is none: fetch the folder again")


def _shapes(folder: Path) -> Iterator[tuple[int, ...]]:
    """Of every tensor of the folder, from the headers of its files."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            check_regular(path)
            with safe_open(path, framework="numpy") as tensors:
                yield from (tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
        except UnfitFile as error:
            raise BackendUnavailable(f"{path} cannot be read: {error}") from error
        except (OSError, SafetensorError) as error:
            raise BackendUnavailable(
                f"{path} is damaged or incomplete ({' '.join(str(error).split())[:120]}): fetch it again"
            ) from error
