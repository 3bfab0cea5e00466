"""When a run must stop: a loss that is no number, or a discriminator that has won for good.

Both are kept as tensors on the device, so that looking every step costs no wait for it; `check` reads them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spae.distributed import least_of_processes, mean_of_processes
from spae.errors import TrainingError
from spae.training.recipe import Recipe

NEVER = float("inf")
LEAST_SCALE = 2.0**-14  # of fp16's loss; below it even a loss of 1 leaves no gradient


class Watch:
    """The health of a run.

    Args:
        recipe: its rule for a stalled discriminator: with a GAN loss below `stall_loss` and every logit on the right
            side of 0, for `stall_steps` steps on end.
        device: where losses are.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self._recipe = recipe
        self.stalled = torch.zeros((), device=device)
        self._broken_at = torch.full((), NEVER, device=device)
        self._seen = torch.zeros(2, device=device)

    def step(self, step: int, total: Tensor, norm: Tensor | None) -> None:
        """Take note of a step's loss and the norm of its gradient (None where a scaler looks after that)."""
        seen = torch.stack([total.detach().float(), total.detach().float() if norm is None else norm.float()])
        broken = ~seen.isfinite().all() & self._broken_at.isinf()
        self._seen = torch.where(broken, seen, self._seen)
        self._broken_at = torch.where(broken, torch.full_like(self._broken_at, step), self._broken_at)

    def judge(self, loss: Tensor, accuracy: Tensor) -> None:
        """Take note of the discriminator's GAN loss and accuracy in this step, both over this process's rows."""
        if not self._recipe.stall_steps:
            return
        loss, accuracy = mean_of_processes(torch.stack([loss, accuracy]))
        stalled = (loss < self._recipe.stall_loss) & (accuracy == 1)
        # Once full the count stays, so that it is enough to look now and then.
        full = self.stalled >= self._recipe.stall_steps
        self.stalled = torch.where(full | stalled, self.stalled + 1, torch.zeros_like(self.stalled))

    def check(self, last_good: Callable[[], str], scale: float | None = None) -> None:
        """Stop the run where it must; every process comes to the same end.

        Args:
            last_good: finds the path of the newest checkpoint, or words for none.
            scale: of fp16's loss, where there is one.

        Raises:
            TrainingError: one line that says what was seen and where to begin anew.
        """
        broken_at = least_of_processes(self._broken_at).item()
        if broken_at < NEVER or (scale is not None and scale < LEAST_SCALE):
            seen = ", ".join(f"{value:g}" for value in self._seen.tolist())
            what = f"loss and gradient norm {seen} at step {broken_at:.0f}"
            if broken_at == NEVER:
                what = f"gradients that no loss scale down to {scale:g} makes finite"
            raise TrainingError(f"the loss must be finite, got {what}: {_advice('learning_rate', last_good())}")
        if self._recipe.stall_steps and self.stalled.item() >= self._recipe.stall_steps:
            raise TrainingError(
                f"the discriminator has stalled: for {self._recipe.stall_steps} steps its GAN loss was below "
                f"{self._recipe.stall_loss:g} and every logit right, so that it teaches nothing: "
                f"{_advice('discriminator_lr', last_good())}"
            )


def _advice(field: str, last_good: str) -> str:
    return (
        f"the last good checkpoint is {last_good}; begin anew from it with --set initial=CHECKPOINT, a lower {field} "
        "and another --out"
    )
