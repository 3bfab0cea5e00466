"""What changes in training: with the recipe, all that a resumed run needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spae.errors import TrainingError
from spae.losses.lecam import LeCam
from spae.tokenizers.model import TokenizerModel
from spae.training.average import AveragedWeights
from spae.training.checkpoint import Groups, optimizer_tensors, restore_optimizer
from spae.training.health_monitor import Watch


@dataclass
class Judging:
    """The discriminator's half of the state.

    Attributes:
        network: without any wrapper.
        optimizer: its own.
        lecam: the averages of its logits.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    lecam: LeCam


@dataclass
class State:
    """The state of a run after `step` steps.

    Attributes:
        model: without any wrapper.
        average: the moving average of the model's state.
        judging: None where there is no discriminator.
        watch: counts the steps for which the discriminator has been stalled.
        scaler: of fp16's loss; None for other precisions.
        step: steps done.
    """

    model: TokenizerModel
    optimizer: torch.optim.Optimizer
    average: AveragedWeights
    judging: Judging | None
    watch: Watch
    scaler: Any | None
    step: int = 0

    def groups(self) -> Groups:
        """As a checkpoint holds it."""
        groups: Groups = {
            "model": dict(self.model.state_dict()),
            "ema": self.average.state,
            "optimizer": optimizer_tensors(self.optimizer, _names(self.model)),
        }
        if self.judging is not None:
            groups["discriminator"] = dict(self.judging.network.state_dict())
            groups["discriminator_optimizer"] = optimizer_tensors(
                self.judging.optimizer, _names(self.judging.network)
            )  # fmt: skip
            groups["lecam"] = dict(self.judging.lecam.state_dict())
            groups["watch"] = {"stalled": self.watch.stalled}
        if self.scaler is not None:
            groups["scaler"] = {
                name: torch.tensor(float(value), dtype=torch.float64)
                for name, value in self.scaler.state_dict().items()
            }
        return groups

    def restore(self, step: int, groups: Groups) -> None:
        """Take on what a checkpoint holds. Raises TrainingError where it does not hold all of it."""
        try:
            self.model.load_state_dict(groups["model"])
            self.average.load(groups["ema"])
            restore_optimizer(self.optimizer, _names(self.model), groups["optimizer"])
            if self.judging is not None:
                self.judging.network.load_state_dict(groups["discriminator"])
                restore_optimizer(
                    self.judging.optimizer, _names(self.judging.network), groups["discriminator_optimizer"]
                )  # fmt: skip
                self.judging.lecam.load_state_dict(groups["lecam"])
                self.watch.stalled.copy_(groups["watch"]["stalled"])
            if self.scaler is not None:
                known = self.scaler.state_dict()
                saved = {name: value.item() for name, value in groups["scaler"].items()}
                # Whole numbers, such as the steps since the scale last grew, were saved as numbers like all others.
                self.scaler.load_state_dict({name: type(known[name])(value) for name, value in saved.items()})
        except (KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise TrainingError(
                f"the checkpoint of step {step} does not fit this version of the package ({reason}): resume with the "
                "version that wrote it, or train into another folder"
            ) from error
        self.step = step


def rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all of an optimizer's parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def tensors_on(device: torch.device, *values: Tensor) -> tuple[Tensor, ...]:
    """Copies of tensors on a device; the same tensors where they are there already."""
    return tuple(value.to(device, non_blocking=True) for value in values)


def _names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]
