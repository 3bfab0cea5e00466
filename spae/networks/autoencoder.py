"""The convolutional encoder and decoder of MaskGIT / MAGVIT, as SPAE uses them (appendix B.1).

B batch, T frames, H W pixels, h w latent grid, c latent width.
GroupNorm, swish, ResBlocks without biases, 1x1 shortcuts, average-pool down, nearest + conv up,
no attention; `blocks` ResBlocks a scale and two more at the bottleneck, on each side.
Images are [B, 3, H, W] and videos [B, 3, T, H, W]: the layers are the same, their operations differ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.network_presets import TIME_STRIDES, Plan, convolutional_plan

# 32 groups as in the published code; a layer narrower than 32 takes one group a channel.
GROUPS = 32


class VideoConv(nn.Conv3d):
    """A convolution over videos: zeros pad each frame, and the end frames are repeated before and after the video.

    With zeros in time, too, a still video would not stay still: kernels spread over time ("average" inflation) would
    dim its ends, and GroupNorm, whose statistics are the video's, all the rest.

    Args:
        kernel: odd side of the kernel, the same in time.
        padding: zeros on each side of a frame, and frames repeated at each end.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int = 0, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, padding=(0, padding, padding), bias=bias)
        self.ends = padding

    def forward(self, x: Tensor) -> Tensor:
        if self.ends:
            # Not F.pad: the gradient of its "replicate" adds in no fixed order on a GPU.
            x = torch.cat([x[:, :, :1]] * self.ends + [x] + [x[:, :, -1:]] * self.ends, 2)
        return super().forward(x)


@dataclass(frozen=True)
class Ops:
    """The operations of the layers for one kind of input.

    Attributes:
        axes: names of the axes after batch and channels.
        conv: takes (inputs, outputs, kernel, padding=, bias=).
        pool: average pooling, takes its window.
    """

    axes: tuple[str, ...]
    conv: Callable[..., nn.Module]
    pool: Callable[..., nn.Module]


IMAGES = Ops(("H", "W"), nn.Conv2d, nn.AvgPool2d)
VIDEOS = Ops(("T", "H", "W"), VideoConv, nn.AvgPool3d)


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(GROUPS, channels), channels, eps=1e-6)


class ResBlock(nn.Module):
    """Two normalised convolutions of side 3 beside a shortcut. [B, in, ...] -> [B, out, ...]."""

    def __init__(self, inputs: int, outputs: int, ops: Ops = IMAGES) -> None:
        super().__init__()
        self.norm1 = norm(inputs)
        self.conv1 = ops.conv(inputs, outputs, 3, padding=1, bias=False)
        self.norm2 = norm(outputs)
        self.conv2 = ops.conv(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = ops.conv(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        inner = self.conv2(F.silu(self.norm2(inner)))
        return self.shortcut(x) + inner


class Layered(nn.Module):
    """Half of an autoencoder: a sequence of layers.

    Attributes:
        layers: an encoder's last one is the linear map to c channels.
    """

    layers: nn.Sequential


class PixelEncoder(nn.Module, ABC):
    """Pixels to latents, [B, 3, ...pixels] in [-1, 1] -> [B, c, ...grid]."""

    @abstractmethod
    def grid(self, pixels: tuple[int, ...]) -> tuple[int, ...]:
        """The grid of latents for pixels of this shape, [B, 3, H, W] or [B, 3, T, H, W].

        Raises:
            ShapeError: it does not take such pixels.
        """


class Encoder(Layered, PixelEncoder):
    """Images or videos to latents.

    Args:
        width: c, the codebook's width.
        plan: filters and strides.
        ops: of images or of videos.
    """

    def __init__(self, width: int, plan: Plan, ops: Ops = IMAGES) -> None:
        super().__init__()
        self.plan = plan
        layers: list[nn.Module] = [ops.conv(3, plan.filters, 3, padding=1, bias=False)]
        channels = plan.filters
        for scale, multiplier in enumerate(plan.multipliers):
            for _ in range(plan.blocks):
                layers.append(ResBlock(channels, plan.filters * multiplier, ops))
                channels = plan.filters * multiplier
            if scale < len(plan.strides):
                layers.append(ops.pool(plan.strides[scale]))
        layers += [ResBlock(channels, channels, ops) for _ in range(2)]
        layers += [norm(channels), nn.SiLU(), ops.conv(channels, width, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] or [B, 3, T, H, W] in [-1, 1] -> [B, c, h, w] or [B, c, t, h, w]. Raises as `grid`."""
        self.grid(pixels.shape)
        return self.layers(pixels)

    def grid(self, pixels: tuple[int, ...]) -> tuple[int, ...]:
        """As for every encoder. Raises ShapeError as `Plan.grid`."""
        return self.plan.grid(tuple(pixels))


class Upsample(nn.Module):
    """Nearest neighbour to `stride` times the sides, then a convolution of side 3."""

    def __init__(self, channels: int, stride: tuple[int, ...] = (2, 2), ops: Ops = IMAGES) -> None:
        super().__init__()
        self.stride = [float(one) for one in stride]
        self.conv = ops.conv(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=self.stride, mode="nearest"))


class Decoder(Layered):
    """Latents to images or videos. Arguments as for Encoder."""

    def __init__(self, width: int, plan: Plan, ops: Ops = IMAGES) -> None:
        super().__init__()
        channels = plan.filters * plan.multipliers[-1]
        layers: list[nn.Module] = [ops.conv(width, channels, 3, padding=1)]
        layers += [ResBlock(channels, channels, ops) for _ in range(2)]
        for scale in reversed(range(len(plan.multipliers))):
            for _ in range(plan.blocks):
                layers.append(ResBlock(channels, plan.filters * plan.multipliers[scale], ops))
                channels = plan.filters * plan.multipliers[scale]
            if scale > 0:
                layers.append(Upsample(channels, plan.strides[scale - 1], ops))
        layers += [norm(channels), nn.SiLU(), ops.conv(channels, 3, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """[B, c, h, w] or [B, c, t, h, w] -> pixels of the encoder's shape, about [-1, 1], not clipped."""
        return self.layers(latents)


def in_raster_order(latents: Tensor) -> Tensor:
    """[B, c, ...grid] -> [B, N, c], frame by frame."""
    return latents.flatten(2).transpose(1, 2)


class Autoencoder(nn.Module):
    """Encoder and decoder of images or videos, without the codebook.

    Args:
        encoder: to latents.
        decoder: [B, c, ...grid] -> [B, 3, ...pixels].
    """

    def __init__(self, encoder: PixelEncoder, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] or [B, 3, T, H, W] in [-1, 1] -> [B, N, c], positions in raster order, frame by frame."""
        return in_raster_order(self.encoder(pixels))

    def decode(self, latents: Tensor, grid: tuple[int, ...]) -> Tensor:
        """[B, N, c] on `grid` -> [B, 3, H, W] or [B, 3, T, H, W], about [-1, 1], not clipped."""
        batch, _, width = latents.shape
        # The transposed view would run the whole decoder with channels last, where a CPU's gradient of GroupNorm in
        # bfloat16 takes ten times as long.
        return self.decoder(latents.transpose(1, 2).reshape(batch, width, *grid).contiguous())


def planned(preset: str) -> tuple[Plan, Ops]:
    """Plan and operations of the networks of a preset of NETWORKS."""
    return convolutional_plan(preset), VIDEOS if preset in TIME_STRIDES else IMAGES
