"""Discriminators of the adversarial loss: images or videos to logits.

B batch, H W pixels, T frames. None uses batch statistics: each image gets its logits independently, so that R1 is
exact and two processes with half a batch each take the same steps as one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.errors import InputError, ShapeError

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
        # A window that leaves the border averages only the cells inside; a side of one stays as it is.
        window = [min(2, side) for side in x.shape[2:]]
        return self.pool(x, window, ceil_mode=True, count_include_pad=False)


class StyleGanDiscriminator(nn.Module):
    """The residual discriminator of StyleGAN2 without minibatch statistics, as MAGVIT has it. One logit an image.

    Args:
        shape: sides of its input: (H, W) for images, (T, H, W) for videos.
        filters: of the first convolution.
        multipliers: filters of each block over `filters`; each block halves every side.
        inputs: channels of its input.

    Raises:
        ShapeError: `shape` has neither two sides nor three.
    """

    def __init__(self, shape: Sequence[int], filters: int, multipliers: Sequence[int], inputs: int = 3) -> None:
        super().__init__()
        axes = len(shape)
        if axes not in CONVOLUTIONS or min(shape) < 1:
            raise ShapeError(f"a discriminator takes images (H, W) or videos (T, H, W), got shape {tuple(shape)}")
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
            raise ShapeError(f"this discriminator takes [B, {', '.join(map(str, self.expected))}], got "
                             f"{tuple(images.shape)}")  # fmt: skip
        x = self.blocks(F.leaky_relu(self.first(images), SLOPE))
        x = F.leaky_relu(self.last(x), SLOPE).flatten(1)
        return self.logit(F.leaky_relu(self.hidden(x), SLOPE))[:, 0]


class PatchDiscriminator(nn.Module):
    """PatchGAN (arXiv 1611.07004), VQGAN's choice: a logit for each overlapping patch.

    VQGAN normalises over the batch; here each image is normalized by itself, in one group of channels.

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


@torch.no_grad()
def _xavier(module: nn.Module) -> None:
    """MAGVIT's initialization: Xavier-uniform kernels, zero biases."""
    for name, parameter in module.named_parameters():
        if name.endswith("weight"):
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
