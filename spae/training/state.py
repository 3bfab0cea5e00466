"""The state of a run: with the recipe, all that a resumed run needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spae.errors import TrainingError
from spae.losses.lecam import LeCam
from spae.tokenizers.model import TokenizerModel
from spae.training.checkpoint import Groups, optimizer_tensors, restore_optimizer
from spae.training.health_monitor import HealthMonitor


class AveragedWeights:
    """The exponential moving average of everything in a model's state dict.

    Args:
        model: on its device; from the first update on, its parameters and buffers must be changed in place only.
        decay: of the average after its warm-up.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._model = model
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self._values: list[Tensor] = []

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after step `step` (from 0) to the average.

        The decay warms up with the run, or the random start would dominate its first thousand steps.
        """
        if not self._values:
            # Gathered once, because a state dict costs as much as the average of a small model; and not sooner, because
            # a wrapper may give a model's parameters new storage.
            self._values = [value.detach() for value in self._model.state_dict().values()]
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.state.values()), self._values, 1 - decay)

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore the averages of a checkpoint."""
        for name, value in state.items():
            self.state[name].copy_(value)


@dataclass
class DiscriminatorState:
    """The discriminator's part of the state.

    Attributes:
        network: without any wrapper.
        optimizer: the discriminator's.
        lecam: the averages of its logits.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    lecam: LeCam


@dataclass
class TrainingState:
    """The state of a run after `step` steps.

    Attributes:
        model: without any wrapper.
        average: the moving average of the model's state.
        discriminator: None without a GAN loss.
        health: counts the steps for which the discriminator has been stalled.
        scaler: of fp16's loss; None for other precisions.
        step: steps done.
    """

    model: TokenizerModel
    optimizer: torch.optim.Optimizer
    average: AveragedWeights
    discriminator: DiscriminatorState | None
    health: HealthMonitor
    scaler: Any | None
    step: int = 0

    def groups(self) -> Groups:
        """The tensors of a checkpoint, by group and name."""
        groups: Groups = {
            "model": dict(self.model.state_dict()),
            "ema": self.average.state,
            "optimizer": optimizer_tensors(self.optimizer, _names(self.model)),
        }
        if self.discriminator is not None:
            groups["discriminator"] = dict(self.discriminator.network.state_dict())
            names = _names(self.discriminator.network)
            groups["discriminator_optimizer"] = optimizer_tensors(self.discriminator.optimizer, names)
            groups["lecam"] = dict(self.discriminator.lecam.state_dict())
            groups["health"] = {"stalled": self.health.stalled}
        if self.scaler is not None:
            groups["scaler"] = {
                name: torch.tensor(float(value), dtype=torch.float64)
                for name, value in self.scaler.state_dict().items()
            }
        return groups

    def restore(self, step: int, groups: Groups) -> None:
        """Load a checkpoint's tensors. Raises TrainingError if any is missing or of another shape."""
        try:
            self.model.load_state_dict(groups["model"])
            self.average.load(groups["ema"])
            restore_optimizer(self.optimizer, _names(self.model), groups["optimizer"])
            if self.discriminator is not None:
                self.discriminator.network.load_state_dict(groups["discriminator"])
                names = _names(self.discriminator.network)
                restore_optimizer(self.discriminator.optimizer, names, groups["discriminator_optimizer"])
                self.discriminator.lecam.load_state_dict(groups["lecam"])
                self.health.stalled.copy_(groups["health"]["stalled"])
            if self.scaler is not None and "scaler" in groups:
                known = self.scaler.state_dict()
                saved = {name: value.item() for name, value in groups["scaler"].items()}
                # Every number was saved as a float, also whole ones such as the steps since the scale last grew.
                self.scaler.load_state_dict({name: type(known[name])(value) for name, value in saved.items()})
        except (KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise TrainingError(
                f"the checkpoint of step {step} does not fit this version of the package ({reason}): resume with the "
                "version that wrote it, or train into another folder"
            ) from error
        self.step = step


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters of an optimizer."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def _names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]
