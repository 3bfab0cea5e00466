"""The arithmetic of training: float32, or half precision in forward passes, on any device.

Not left to accelerate, which on CPUs accepts "fp16" and silently computes in float32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["no", "bf16", "fp16"]
DTYPES: dict[Kind, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Autocast for forward passes, and loss scaling for fp16.

    Args:
        kind: "no" is float32; "bf16" has float32's range; "fp16" has not, so its loss is scaled.
        device: of the model.

    Attributes:
        scaler: of fp16's loss, part of a run's state; None for other precisions.
    """

    def __init__(self, kind: Kind, device: torch.device) -> None:
        self._dtype = DTYPES.get(kind)
        self._device = device.type
        self.scaler = torch.amp.GradScaler(device.type) if kind == "fp16" else None

    def autocast(self) -> AbstractContextManager[object]:
        """A context in which convolutions and products have this precision."""
        return nullcontext() if self._dtype is None else torch.autocast(self._device, self._dtype)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a loss, scaled for fp16."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
