"""The exponential moving average of a model's weights, which is what a run is to end with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AveragedWeights:
    """The average of everything in a model's state dict.

    Args:
        model: on its device; from the first update on, its parameters and buffers must be changed in place only.
        decay: of the average once it is warm.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._model = model
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self._values: list[Tensor] = []

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after step `step` (from 0) into the average.

        The average warms up with the run, or its first thousand steps would be the random start.
        """
        if not self._values:
            # Gathered once, for a state dict takes as long as the average of a small model; and not sooner, for what
            # wraps a model may give its parameters new storage.
            self._values = [value.detach() for value in self._model.state_dict().values()]
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.state.values()), self._values, 1 - decay)

    def load(self, state: dict[str, Tensor]) -> None:
        """The averages of a checkpoint."""
        for name, value in state.items():
            self.state[name].copy_(value)
