"""Discriminators of the adversarial loss: images or clips to logits.

B batch, H W pixels, T frames. None has batch statistics: each image is judged on its own, so that R1 is what it says
and two processes with half a batch each take the steps of one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.errors import InputError, ShapeError, UnknownName

SLOPE = 0.2  # of the leaky ReLUs, in both papers' code

CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
POOLS: dict[int, Callable[..., Tensor]] = {2: F.avg_pool2d, 3: F.avg_pool3d}


class HalvingBlock(nn.Module):
    """Two 3x3 convolutions around a halving of every side, beside a 1x1 shortcut; the sum is divided by sqrt(2).

    [B, inputs, ...sides] -> [B, outputs, ...sides halved, rounded up].
    """

    def __init__(self, inputs: int, outputs: int, axes: int) -> None:
        super().__init__()
        conv = CONVOLUTIONS[axes]
        self.pool = POOLS[axes]
        self.conv1 = conv(inputs, inputs, 3, padding=1)
        self.conv2 = conv(inputs, outputs, 3, padding=1)
        self.shortcut = conv(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self._halve(F.leaky_relu(self.conv1(x), SLOPE))
        inner = F.leaky_relu(self.conv2(inner), SLOPE)
        return (self.shortcut(self._halve(x)) + inner) / math.sqrt(2)

    def _halve(self, x: Tensor) -> Tensor:
        # A border cell averages what there is of it, and a side of one stays as it is.
        window = [min(2, side) for side in x.shape[2:]]
        return self.pool(x, window, ceil_mode=True, count_include_pad=False)


class StyleGanDiscriminator(nn.Module):
    """The residual discriminator of StyleGAN2 without minibatch statistics, as MAGVIT has it. One logit an image.

    Args:
        shape: sides of what it judges: (H, W), or (T, H, W) for clips.
        filters: of the first convolution.
        multipliers: filters of each block over `filters`; each block halves every side.
        inputs: channels of what it judges.

    Raises:
        ShapeError: `shape` has neither two sides nor three.
    """

    def __init__(self, shape: Sequence[int], filters: int, multipliers: Sequence[int], inputs: int = 3) -> None:
        super().__init__()
        axes = len(shape)
        if axes not in CONVOLUTIONS or min(shape) < 1:
            raise ShapeError(f"a discriminator judges images (H, W) or clips (T, H, W), got shape {tuple(shape)}")
        conv = CONVOLUTIONS[axes]
        self.expected = (inputs, *shape)
        widths = [filters, *(filters * multiplier for multiplier in multipliers)]
        self.first = conv(inputs, filters, 3, padding=1)
        self.blocks = nn.Sequential(*(HalvingBlock(narrow, wide, axes) for narrow, wide in itertools.pairwise(widths)))
        self.last = conv(widths[-1], widths[-1], 3, padding=1)
        cells = math.prod(math.ceil(side / 2 ** len(multipliers)) for side in shape)
        self.hidden = nn.Linear(widths[-1] * cells, widths[-1])
        self.logit = nn.Linear(widths[-1], 1)
        _xavier(self)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, ...shape] in [-1, 1] -> logits [B]; greater is more real. Raises ShapeError."""
        if tuple(images.shape[1:]) != self.expected:
            raise ShapeError(f"this discriminator judges [B, {', '.join(map(str, self.expected))}], got "
                             f"{tuple(images.shape)}")  # fmt: skip
        x = self.blocks(F.leaky_relu(self.first(images), SLOPE))
        x = F.leaky_relu(self.last(x), SLOPE).flatten(1)
        return self.logit(F.leaky_relu(self.hidden(x), SLOPE))[:, 0]


class PatchDiscriminator(nn.Module):
    """PatchGAN (arXiv 1611.07004), VQGAN's choice: a logit for each overlapping patch.

    VQGAN normalises over the batch; here each image is normalised by itself, in one group of channels.

    Args:
        filters: of the first convolution; each further one has twice as many, at most eight times.
        halvings: convolutions of stride 2; with 3, a logit sees 70 pixels.
        inputs: channels of the images.
    """

    def __init__(self, filters: int = 64, halvings: int = 3, inputs: int = 3) -> None:
        super().__init__()
        if halvings < 1:
            raise InputError(f"a patch discriminator halves the sides at least once, got {halvings}")
        layers: list[nn.Module] = [nn.Conv2d(inputs, filters, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        width = filters
        for depth in range(1, halvings + 1):
            wider = filters * min(2**depth, 8)
            stride = 2 if depth < halvings else 1
            layers += [nn.Conv2d(width, wider, 4, stride, 1, bias=False), nn.GroupNorm(1, wider), nn.LeakyReLU(SLOPE)]
            width = wider
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 1))
        self.smallest = 2 ** (halvings + 1) + 2**halvings

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> logits [B, h, w]; greater is more real. Raises ShapeError."""
        if images.ndim != 4 or min(images.shape[2:]) < self.smallest:
            raise ShapeError(f"patches need [B, 3, H, W] of {self.smallest} pixels or more a side, got "
                             f"{tuple(images.shape)}: use fewer halvings")  # fmt: skip
        return self.layers(images)[:, 0]


# Sides, base filters and multipliers of the StyleGAN type: MAGVIT's, whose filters are those of the autoencoder and
# whose blocks go on to 4x4 cells. The clip's 16 frames are down to one before that.
DISCRIMINATORS: dict[str, tuple[tuple[int, ...], int, tuple[int, ...]]] = {
    "image": ((128, 128), 128, (2, 4, 4, 4, 4)),
    "image-256": ((256, 256), 128, (2, 4, 4, 4, 4, 4)),
    "mnist": ((32, 32), 128, (2, 4, 4)),
    "picto": ((32, 32), 32, (2, 4, 4)),
    "picto-256": ((64, 64), 32, (2, 4, 4, 4)),
    "video": ((16, 128, 128), 128, (2, 4, 4, 4, 4)),
    "picto-video": ((16, 32, 32), 32, (2, 4, 4)),
}


def build_discriminator(preset: str) -> StyleGanDiscriminator:
    """The StyleGAN-type discriminator for the images or clips of a network preset. Raises UnknownName."""
    if preset not in DISCRIMINATORS:
        raise UnknownName("discriminator preset", preset, DISCRIMINATORS)
    return StyleGanDiscriminator(*DISCRIMINATORS[preset])


@torch.no_grad()
def _xavier(module: nn.Module) -> None:
    """The authors' start: Xavier-uniform kernels, no bias."""
    for name, parameter in module.named_parameters():
        if name.endswith("weight"):
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
