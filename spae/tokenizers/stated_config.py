"""What a model's config.json may say. It may come from anywhere, so nothing is built before it was looked at.

A configuration holds names, numbers and lists of numbers. It names no file: weights and a vocabulary stand beside it
under fixed names. One field may be more: the source of LQAE's language model, a name on the hub, or a folder of the
machine that it was trained on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from spae.errors import WeightsError

NAMES = ("name", "quantizer", "network", "vocabulary", "vocabulary_sha256")
SOURCE = "masked_lm_source"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
# More than any model of the paper and its variants takes (1536 wide, 65,000 words, 256 pixels, 16 frames); what is
# above would ask for memory before the weights are seen not to fit.
LIMITS = {
    "size": 4096,
    "frames": 1024,
    "width": 16_384,
    "entries": 1 << 20,
    "projected_layers": 32,
    "projected_dim": 4096,
}
CODEBOOK_NUMBERS = 1 << 28
TEXT = 100
LAYERS = 32
SIDE = 256
CELLS = 1 << 18


def check_config(config: Any, known: Collection[str], where: str) -> dict[str, Any]:
    """The configuration, if it is one a model may be built from.

    Args:
        config: as JSON has it.
        known: the fields there are; each may be missing here.
        where: how messages call it.

    Raises:
        WeightsError: no object, an unknown field, a value that is no name, number or list of numbers, a name that
            could be a path, or a size out of bounds.
    """
    if not isinstance(config, dict):
        raise WeightsError(f"{where} must be a JSON object, got {type(config).__name__}: save the model again")
    for key, value in config.items():
        if key not in known:
            raise WeightsError(
                f"{where} has an unknown field {str(key)[:40]!r}: it was made by another version, or is no model of "
                f"this project; known are {', '.join(sorted(known))}"
            )
        _check_value(key, value, where)
    width, entries = config.get("width", 0), config.get("entries", 0)
    if width * entries > CODEBOOK_NUMBERS:
        raise WeightsError(
            f"{where}: entries x width may be {CODEBOOK_NUMBERS:,} at most, got {entries} x {width}: no such codebook "
            "is loaded"
        )
    return config


def _check_value(key: str, value: object, where: str) -> None:
    said = f"{where}: {key}"
    if key in NAMES and not isinstance(value, str):
        raise WeightsError(f"{said} must be text, got {str(value)[:40]}")
    if key in LIMITS and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LIMITS[key]):
        raise WeightsError(f"{said} must be a whole number from 0 to {LIMITS[key]}, got {str(value)[:40]}")
    if value is None or isinstance(value, bool):
        return
    if key == SOURCE:
        if not isinstance(value, str) or len(value) > 1000 or not value.isprintable():
            raise WeightsError(f"{said} must be a model's name or folder, got {str(value)[:TEXT]!r}")
    elif isinstance(value, str):
        if len(value) > TEXT or not value.isprintable() or set(value) & set("/\\") or value.startswith((".", "~")):
            raise WeightsError(
                f"{said} must be a name of at most {TEXT} printable characters, never a path, got {value[:TEXT]!r}"
            )
    elif isinstance(value, int | float):
        if not abs(value) <= 1e12:  # nor is NaN
            raise WeightsError(f"{said} must be a finite number, got {str(value)[:40]}")
    elif isinstance(value, list):
        _check_layers(value, said)
    else:
        raise WeightsError(f"{said} must be a name, a number or a list of numbers, got {type(value).__name__}")


def _check_layers(layers: list[Any], said: str) -> None:
    """Lists are of layers: sides, or lists of sides."""
    rule = f"{said} lists at most {LAYERS} layers, each of 1 to 3 sides from 1 to {SIDE} and {CELLS:,} cells at most"
    for layer in layers:
        sides = layer if isinstance(layer, list) else [layer]
        whole = all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= SIDE for side in sides)
        if not 1 <= len(sides) <= 3 or not whole or math.prod(sides) > CELLS:
            raise WeightsError(f"{rule}, got {str(layer)[:60]}")
    if len(layers) > LAYERS:
        raise WeightsError(f"{rule}, got {len(layers)} layers")


def check_portable(config: Mapping[str, Any], where: str) -> None:
    """What leaves a machine, or comes from another, names no folder of it.

    Raises:
        WeightsError: the language model's source is neither empty nor a name on the hub.
    """
    source = config.get(SOURCE) or ""
    if source and (not HUB_NAME.fullmatch(source) or ".." in source):
        raise WeightsError(
            f"{where}: {SOURCE} must be a name on the hub, such as FacebookAI/roberta-base, got a folder ({source!r}): "
            "write the model's name there"
        )
