"""Rotary positions whose frequencies depend on the length of the text: LongRoPE and dynamic scaling.

transformers chooses the frequencies of a pass by its highest position. Two texts in one batch, or a text and the keys
and values kept of its beginning, may so be read with frequencies that neither has alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

LONGROPE, DYNAMIC = "longrope", "dynamic"


class LengthDependentRope:
    """What the frequencies of a model's positions depend on.

    Args:
        model: on its device.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        text = model.config.get_text_config(decoder=True)
        self._long = sorted({_original_length(text, one) for one in _parameters(text) if _kind(one) == LONGROPE})
        dynamic = any(DYNAMIC in _kind(one) for one in _parameters(text))
        self._dynamic_above: int | None = text.max_position_embeddings if dynamic else None
        self._rotary: list[tuple[Any, str | None]] = [
            (module, layer_type)
            for module in (model.modules() if dynamic else ())
            for layer_type in _dynamic_layer_types(getattr(module, "rope_type", None))
        ]

    def __bool__(self) -> bool:
        """Whether any frequency depends on the length."""
        return bool(self._long) or self._dynamic_above is not None

    def same(self, known: int, length: int) -> bool:
        """Whether texts of these two lengths in tokens are read with the same frequencies."""
        if self._dynamic_above is not None and max(known, length) > self._dynamic_above and known != length:
            return False
        return all((known > border) == (length > border) for border in self._long)

    @torch.inference_mode()
    def forget(self) -> None:
        """Undo what an earlier, longer text did to the frequencies of dynamic scaling, which only ever grow."""
        for module, layer_type in self._rotary:
            device = (
                module.inv_freq.device if layer_type is None else module.get_buffer(f"{layer_type}_inv_freq").device
            )
            first = torch.zeros(1, 1, dtype=torch.long, device=device)
            # A text of one token is below every border, so that the module resets itself.
            module(first.float(), first, **({} if layer_type is None else {"layer_type": layer_type}))


def _parameters(text: PreTrainedConfig) -> Iterator[Mapping[str, Any]]:
    """The parameters of each kind of rotary positions: one set, or one for each type of layer."""
    found = getattr(text, "rope_parameters", None) or {}
    if "rope_type" in found:
        yield found
    else:
        yield from (one for one in found.values() if isinstance(one, Mapping))


def _kind(parameters: Mapping[str, Any]) -> str:
    return str(parameters.get("rope_type", ""))


def _original_length(text: PreTrainedConfig, parameters: Mapping[str, Any]) -> int:
    stated = parameters.get("original_max_position_embeddings") or text.max_position_embeddings
    return int(stated)


def _dynamic_layer_types(rope_type: object) -> list[str | None]:
    """The layer types of a rotary module that scale dynamically; None stands for a module of one type."""
    if isinstance(rope_type, str):
        return [None] if DYNAMIC in rope_type else []
    if isinstance(rope_type, Mapping):
        return [name for name, kind in rope_type.items() if DYNAMIC in kind]
    return []
