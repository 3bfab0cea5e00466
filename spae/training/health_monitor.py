"""Stops a run on a non-finite loss or a stalled discriminator.

Both are tracked as tensors on the device, without waiting for it; `check` reads them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spae.distributed import all_reduce_mean, all_reduce_min
from spae.errors import TrainingError
from spae.training.recipe import Recipe

NEVER = float("inf")
MIN_LOSS_SCALE = 2.0**-14  # of fp16; below it even a loss of 1 leaves no gradient


class HealthMonitor:
    """The health of a run.

    Args:
        recipe: a discriminator is stalled after `stall_steps` steps on end with a GAN loss below `stall_loss` and
            every logit of the right sign.
        device: device of the losses.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self._stall_steps, self._stall_loss = recipe.appearance.stall_steps, recipe.appearance.stall_loss
        self.stalled = torch.zeros((), device=device)
        self._broken_at = torch.full((), NEVER, device=device)
        self._seen = torch.zeros(2, device=device)

    def step(self, step: int, total: Tensor, norm: Tensor | None) -> None:
        """Record a step's loss and the norm of its gradient (None if a loss scaler checks gradients)."""
        seen = torch.stack([total.detach().float(), total.detach().float() if norm is None else norm.float()])
        broken = ~seen.isfinite().all() & self._broken_at.isinf()
        self._seen = torch.where(broken, seen, self._seen)
        self._broken_at = torch.where(broken, torch.full_like(self._broken_at, step), self._broken_at)

    def discriminator_step(self, loss: Tensor, accuracy: Tensor) -> None:
        """Record the discriminator's GAN loss and accuracy in this step, both over this process's rows."""
        if not self._stall_steps:
            return
        loss, accuracy = all_reduce_mean(torch.stack([loss, accuracy]))
        stalled = (loss < self._stall_loss) & (accuracy == 1)
        # Once full the count stays full, so that `check` need not run at every step.
        full = self.stalled >= self._stall_steps
        self.stalled = torch.where(full | stalled, self.stalled + 1, torch.zeros_like(self.stalled))

    def check(self, last_good: Callable[[], str], scale: float | None = None) -> None:
        """Stop the run if it must stop; every process comes to the same decision.

        Args:
            last_good: returns the path of the newest checkpoint, or says that there is none.
            scale: of fp16's loss; None for other precisions.

        Raises:
            TrainingError: one line with what was seen and the checkpoint to restart from.
        """
        broken_at = all_reduce_min(self._broken_at).item()
        if broken_at < NEVER or (scale is not None and scale < MIN_LOSS_SCALE):
            seen = ", ".join(f"{value:g}" for value in self._seen.tolist())
            what = f"loss and gradient norm {seen} at step {broken_at:.0f}"
            if broken_at == NEVER:
                what = f"gradients that no loss scale down to {scale:g} makes finite"
            raise TrainingError(
                f"the loss must be finite, got {what}: {_advice('optimizer.learning_rate', last_good())}"
            )
        if self._stall_steps and self.stalled.item() >= self._stall_steps:
            raise TrainingError(
                f"the discriminator has stalled: for {self._stall_steps} steps its GAN loss was below "
                f"{self._stall_loss:g} and every logit right, so it teaches nothing: "
                f"{_advice('optimizer.discriminator_lr', last_good())}"
            )


def _advice(field: str, last_good: str) -> str:
    return (
        f"the last good checkpoint is {last_good}; restart from it with --set optimizer.init_from=CHECKPOINT, a "
        f"lower {field} and another --out"
    )
