"""The exponential moving average of a model's weights, which is what a run is to end with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AveragedWeights:
    """The average of everything in a model's state dict.

    Args:
        model: on its device; its parameters and buffers must stay the same tensors, changed in place.
        decay: of the average once it is warm.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        state = model.state_dict()
        self.state = {name: value.detach().clone() for name, value in state.items()}
        # Gathered once: a state dict is slow to make, and the average of a small model was a tenth of its step.
        self._values = [value.detach() for value in state.values()]
        self._averages = list(self.state.values())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after step `step` (from 0) into the average.

        The average warms up with the run, or its first thousand steps would be the random start.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._values, 1 - decay)

    def load(self, state: dict[str, Tensor]) -> None:
        """The averages of a checkpoint."""
        for name, value in state.items():
            self.state[name].copy_(value)
