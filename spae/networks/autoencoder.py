"""The convolutional encoder and decoder of MaskGIT / MAGVIT, as SPAE uses them (appendix B.1).

B batch, H W pixels, h w latent grid, c latent width.
GroupNorm, swish, ResBlocks without biases, 1x1 shortcuts, average-pool down, nearest + conv up,
no attention; `blocks` ResBlocks a scale and two more at the bottleneck, on each side.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from spae.errors import ShapeError, UnknownName

# 32 groups as in the published code; a layer narrower than 32 takes one group a channel.
GROUPS = 32


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(GROUPS, channels), channels, eps=1e-6)


class ResBlock(nn.Module):
    """Two normalised 3x3 convolutions beside a shortcut. [B, in, h, w] -> [B, out, h, w]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm2 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        inner = self.conv2(F.silu(self.norm2(inner)))
        return self.shortcut(x) + inner


class Encoder(nn.Module):
    """Pictures to latents.

    Args:
        width: c, the codebook's width.
        filters: base filters.
        multipliers: filters of each scale over the base; each scale but the last halves the side.
        blocks: ResBlocks a scale.
    """

    def __init__(self, width: int, filters: int, multipliers: Sequence[int], blocks: int = 2) -> None:
        super().__init__()
        self.factor = 2 ** (len(multipliers) - 1)
        layers: list[nn.Module] = [nn.Conv2d(3, filters, 3, padding=1, bias=False)]
        channels = filters
        for scale, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                layers.append(ResBlock(channels, filters * multiplier))
                channels = filters * multiplier
            if scale < len(multipliers) - 1:
                layers.append(nn.AvgPool2d(2))
        layers += [ResBlock(channels, channels) for _ in range(2)]
        layers += [norm(channels), nn.SiLU(), nn.Conv2d(channels, width, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> [B, c, h, w]."""
        if pictures.ndim != 4 or any(side % self.factor for side in pictures.shape[2:]):
            raise ShapeError(
                f"pictures must be [B, 3, H, W] with sides divisible by {self.factor}, got {tuple(pictures.shape)}"
            )
        return self.layers(pictures)


class Upsample(nn.Module):
    """Nearest neighbour to twice the side, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Decoder(nn.Module):
    """Latents to pictures. Arguments as for Encoder."""

    def __init__(self, width: int, filters: int, multipliers: Sequence[int], blocks: int = 2) -> None:
        super().__init__()
        channels = filters * multipliers[-1]
        layers: list[nn.Module] = [nn.Conv2d(width, channels, 3, padding=1)]
        layers += [ResBlock(channels, channels) for _ in range(2)]
        for scale in reversed(range(len(multipliers))):
            for _ in range(blocks):
                layers.append(ResBlock(channels, filters * multipliers[scale]))
                channels = filters * multipliers[scale]
            if scale > 0:
                layers.append(Upsample(channels))
        layers += [norm(channels), nn.SiLU(), nn.Conv2d(channels, 3, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """[B, c, h, w] -> [B, 3, H, W], about [-1, 1], not clipped."""
        return self.layers(latents)


class Autoencoder(nn.Module):
    """Encoder and decoder, the codebook excluded."""

    def __init__(self, width: int, filters: int, multipliers: Sequence[int], blocks: int = 2) -> None:
        super().__init__()
        self.encoder = Encoder(width, filters, multipliers, blocks)
        self.decoder = Decoder(width, filters, multipliers, blocks)

    def encode(self, pictures: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> [B, N, c], positions in raster order."""
        return self.encoder(pictures).flatten(2).transpose(1, 2)

    def decode(self, latents: Tensor, grid: tuple[int, ...]) -> Tensor:
        """[B, N, c] on `grid` -> [B, 3, H, W]."""
        batch, _, width = latents.shape
        return self.decoder(latents.transpose(1, 2).reshape(batch, width, *grid))


def build_autoencoder(preset: str, width: int) -> Autoencoder:
    """The networks of a preset; `width` is the codebook's width. Raises UnknownName.

    `image` at width 1536 has 59.40 M parameters, the paper's 59 M (appendix B.1).
    """
    if preset not in NETWORKS:
        raise UnknownName("network preset", preset, NETWORKS)
    filters, multipliers = NETWORKS[preset]
    return Autoencoder(width, filters, multipliers)


# Base filters and multipliers: appendix B.1; `picto` is the same network at a quarter of the width.
NETWORKS: dict[str, tuple[int, tuple[int, ...]]] = {
    "image": (128, (1, 2, 2, 4)),
    "image-256": (128, (1, 1, 2, 2, 4)),
    "mnist": (128, (1, 2, 2, 4)),
    "picto": (32, (1, 2, 2, 4)),
}


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers in `module`."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


__all__ = ["NETWORKS", "Autoencoder", "Decoder", "Encoder", "build_autoencoder", "count_parameters"]
