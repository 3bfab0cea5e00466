"""LeCAM regularisation of a discriminator (arXiv 2104.03310), as Eq. 8 of arXiv 2306.17842 uses it.

Penalizes a mean logit of real or reconstructed images that passes the running average of the other: with little data a
discriminator otherwise memorizes its images. Part of the discriminator's loss, as in the authors' MAGVIT source.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.errors import InputError


class LeCam(nn.Module):
    """The penalty and its two running averages, which start at 0 and are part of the state dict.

    Args:
        decay: of the averages, in [0, 1).
    """

    real: Tensor
    fake: Tensor

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise InputError(f"the decay of LeCAM's averages is in [0, 1), got {decay}")
        self.decay = decay
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    def forward(self, real_mean: Tensor, fake_mean: Tensor) -> Tensor:
        """relu(mean D(real) - average of D(fake))^2 + relu(average of D(real) - mean D(fake))^2; a scalar.

        Args:
            real_mean, fake_mean: mean logits of this step over all processes (`global_mean`), with gradient.
        """
        above = F.relu(real_mean.float() - self.fake)
        below = F.relu(self.real - fake_mean.float())
        return above.square() + below.square()

    @torch.no_grad()
    def update(self, real_mean: Tensor, fake_mean: Tensor) -> None:
        """Update the averages with a step's mean logits; call it after the step that used them."""
        # Not in place: a penalty whose gradient is taken later must keep the averages it was computed with.
        self.real = self.decay * self.real + (1 - self.decay) * real_mean.detach().float()
        self.fake = self.decay * self.fake + (1 - self.decay) * fake_mean.detach().float()


def global_mean(logits: Tensor) -> Tensor:
    """The mean over the logits of all processes; a scalar.

    LeCAM squares a mean, so the mean of each process would give another loss than one process with the same global
    batch. Every process must hold the same number of logits, and all must call it. The gradient is that of the
    process's own mean: averaged over processes, as DistributedDataParallel does, it is that of the global mean.
    """
    mean = logits.float().mean()
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return mean
    whole = mean.detach().clone()
    torch.distributed.all_reduce(whole)
    return mean + (whole / torch.distributed.get_world_size() - mean.detach())
