"""The arithmetic of training: float32, or half precision where that is safe, on any device.

Not left to accelerate, which on CPUs takes "fp16" and computes in float32 without a word.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["no", "bf16", "fp16"]
DTYPES: dict[Kind, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """What forward passes are computed in, and what keeps fp16's small gradients from vanishing.

    Args:
        kind: "no" is float32; "bf16" has float32's range; "fp16" has not, so its loss is scaled.
        device: where training runs.

    Attributes:
        scaler: of fp16's loss, part of a run's state; None for the others.
    """

    def __init__(self, kind: Kind, device: torch.device) -> None:
        self._dtype = DTYPES.get(kind)
        self._device = device.type
        self.scaler = torch.amp.GradScaler(device.type) if kind == "fp16" else None

    def autocast(self) -> AbstractContextManager[object]:
        """Within it, convolutions and products are of this precision."""
        return nullcontext() if self._dtype is None else torch.autocast(self._device, self._dtype)

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss, scaled where there is a scaler."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
