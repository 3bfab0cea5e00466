"""Perceptual losses: the distance of an image and its reconstruction in the features of a frozen network.

| name | distance | input size | source |
| --- | --- | --- | --- |
| resnet50 | squared difference of the 1,000 logits, mean | 224x224 | the authors' MAGVIT (arXiv 2212.05199) |
| lpips-vgg | LPIPS, version 0.1 | their own size | VQGAN (2012.09841); LPIPS is 1801.03924 |
| efficientnet-lite0 | as resnet50 | 224x224 or `side` | embedded recipes: a Python package carries its weights |

B batch, H W pixels, S the network's side. Images are in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.errors import ShapeError
from spae.losses.perceptual_names import PERCEPTUAL_SIDES, check_perceptual
from spae.losses.perceptual_weights import (
    efficientnet_lite0_network,
    efficientnet_lite0_weights,
    lpips_vgg_network,
    resnet50_network,
    weights_from,
)

# Mean and standard deviation of pixels in [-1, 1] in its training.
LITE = ((127 / 127.5 - 1,) * 3, (128 / 127.5,) * 3)


class PerceptualLoss(nn.Module):
    """The distance by a frozen network.

    The network has no trainable parameters, stays in evaluation mode and is not in the state dict; `weights_sha256`
    identifies it in a run's record.

    Args:
        name: in recipes and reports.
        weights_sha256: of the file the network's weights came from.
        network: for "lpips-vgg" two batches [B, 3, H, W] in [-1, 1] to a distance an image, else one to logits.
        side: S, what images are resized to; None leaves them.
        scale: mean and deviation that images are normalised with; None where the network does it.
    """

    def __init__(
        self,
        name: str,
        weights_sha256: str,
        network: nn.Module,
        side: int | None,
        scale: tuple[tuple[float, float, float], tuple[float, float, float]] | None,
    ) -> None:
        super().__init__()
        self.name = name
        self.weights_sha256 = weights_sha256
        self.side = side
        self.pairs = scale is None
        # In a list, so that it is not a submodule: checkpoints leave out a gigabyte that never changes.
        self._network = [network.eval().requires_grad_(False)]
        mean, deviation = scale or ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1), persistent=False)

    mean: Tensor
    deviation: Tensor

    @property
    def network(self) -> nn.Module:
        """The frozen network, on the device of the last `to`."""
        return self._network[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PerceptualLoss:
        # `to`, `cuda` and `half` call this: the network moves along.
        self.network._apply(fn)
        return super()._apply(fn, recurse)

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """The mean distance over a batch; a scalar with a gradient in `fake` alone.

        Args:
            real, fake: [B, 3, H, W] in [-1, 1]; frames of videos as separate images.

        Raises:
            ShapeError: the two differ in shape, or are not [B, 3, H, W].
        """
        if real.shape != fake.shape or real.ndim != 4 or real.shape[1] != 3:
            raise ShapeError(f"a perceptual loss compares two [B, 3, H, W], got {tuple(real.shape)} and "
                             f"{tuple(fake.shape)}")  # fmt: skip
        if self.pairs:
            return self.network(self._fit(real.detach()), self._fit(fake)).float().mean()
        with torch.no_grad():
            wanted = self.network(self._fit(real)).float()
        return F.mse_loss(self.network(self._fit(fake)).float(), wanted)

    def _fit(self, images: Tensor) -> Tensor:
        if self.side is not None and images.shape[2:] != (self.side, self.side):
            images = F.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True)
        return (images - self.mean) / self.deviation


@dataclass(frozen=True)
class PerceptualEntry:
    """Static facts about one network, and how it is opened.

    Attributes:
        title: for reports.
        scale: as PerceptualLoss takes it.
        network: builds it from a state dict.
        weights: finds the state dict and its file's sha256, given a local file or None.
    """

    title: str
    scale: tuple[tuple[float, float, float], tuple[float, float, float]] | None
    network: Callable[[dict[str, Tensor]], nn.Module]
    weights: Callable[[Path | None], tuple[dict[str, Tensor], str]]


PERCEPTUAL: dict[str, PerceptualEntry] = {
    "resnet50": PerceptualEntry(
        "ResNet-50 logits (MAGVIT)",
        ((2 * 0.485 - 1, 2 * 0.456 - 1, 2 * 0.406 - 1), (2 * 0.229, 2 * 0.224, 2 * 0.225)),
        resnet50_network,
        weights_from("torchvision's resnet50 (IMAGENET1K_V1)"),
    ),
    "lpips-vgg": PerceptualEntry(
        "LPIPS-VGG 0.1 (VQGAN)", None, lpips_vgg_network, weights_from("torchvision's vgg16 (IMAGENET1K_V1)")
    ),
    "efficientnet-lite0": PerceptualEntry(
        "EfficientNet-Lite0 logits", LITE, efficientnet_lite0_network, efficientnet_lite0_weights
    ),
}


def open_perceptual(name: str, weights: Path | None = None, side: int | None = None) -> PerceptualLoss:
    """The perceptual loss of that name.

    Args:
        weights: a local file, .safetensors or a .pth that holds tensors only; optional for "efficientnet-lite0" alone.
        side: another S, for small images on small machines.

    Raises:
        UnknownName: an unknown network.
        InputError: a side below 32, or any for "lpips-vgg", which takes images of any size.
        WeightsError: weights are missing or do not fit.
    """
    check_perceptual(name, side)
    entry = PERCEPTUAL[name]
    state, sha256 = entry.weights(weights)
    return PerceptualLoss(name, sha256, entry.network(state), side or PERCEPTUAL_SIDES[name], entry.scale)
