"""Augmentation of whole batches of pictograms.

B batch, S side of the stored images, R side of the model's images (S divisible by R).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(images: Tensor, size: int, generator: torch.Generator, strength: float) -> Tensor:
    """Randomly rotated, scaled, shifted, mirrored, recoloured and partly blurred images.

    Args:
        images: [B, 3, S, S] in [-1, 1], on white.
        size: R.
        generator: the only source of randomness.
        strength: 0 only mirrors, 1 is the recipes' default.

    Returns: [B, 3, R, R] in [-1, 1].
    """
    batch = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator) * (high - low) + low

    angle = uniform(-1, 1) * math.radians(15) * strength
    scale = torch.exp(uniform(-0.25, 0.2) * strength)
    aspect = torch.exp(uniform(-0.1, 0.1) * strength)
    mirror = (torch.rand(batch, generator=generator) < 0.5).float() * 2 - 1
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = [
        torch.stack([cos * mirror * aspect, -sin, uniform(-0.15, 0.15) * strength], 1),
        torch.stack([sin * mirror, cos / aspect, uniform(-0.15, 0.15) * strength], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), [batch, 3, *images.shape[2:]], align_corners=False)
    # White is 1: sampled as 0 after the shift, so that padding is white.
    out = F.grid_sample(images - 1, grid, align_corners=False) + 1
    out = F.avg_pool2d(out, images.shape[-1] // size)

    blurred = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
    blur = uniform(0, 0.8, 1, 1, 1) * (uniform(0, 1, 1, 1, 1) < 0.3 * strength)
    out = out.lerp(blurred, blur)

    # Colour: a random linear map near the identity on (image - white), so that white stays.
    mix = torch.eye(3) + torch.randn(batch, 3, 3, generator=generator) * 0.12 * strength
    gray = torch.full((3, 3), 1 / 3)
    fade = uniform(0, 1, 1, 1) * (uniform(0, 1, 1, 1) < 0.35 * strength)
    mix = torch.lerp(mix, gray.expand_as(mix), fade) * torch.exp(uniform(-0.25, 0.15, 1, 1) * strength)
    out = torch.einsum("bij,bjhw->bihw", mix, out - 1) + 1
    # And an image-wide tint of brightness, which moves white a little too.
    out = out + uniform(-0.15, 0.0, 1, 1, 1) * (uniform(0, 1, 1, 1, 1) < 0.3 * strength)
    return out.clamp(-1, 1)
