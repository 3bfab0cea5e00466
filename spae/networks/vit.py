"""The transformer encoder and decoder of LQAE (Liu et al., arXiv 2302.00902): ViT-base, patch 16 at 256x256.

B batch, H W pixels, h w patches, N = h*w, c latent width, F features.
Plain ViT-base of arXiv 2010.11929 (pre-norm, learned positions, no class token). The authors' code
widens the MLPs with a gate and a depthwise convolution, which their paper does not mention.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.errors import ShapeError
from spae.network_presets import VITS, VitPlan
from spae.networks.autoencoder import Autoencoder, Layered, PixelEncoder


def _initialize(module: nn.Module) -> None:
    """ViT's initialization: small normal weights and zero biases; a LayerNorm keeps its ones."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.ndim > 1:
            nn.init.trunc_normal_(parameter, std=0.02)


class Transformer(nn.Module):
    """Positions added, then pre-norm layers and a last norm. [B, N, F] -> [B, N, F]."""

    def __init__(self, plan: VitPlan) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, plan.side**2, plan.features))
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    plan.features, plan.heads, plan.hidden, dropout=0.0, activation="gelu",
                    layer_norm_eps=1e-6, batch_first=True, norm_first=True,
                )
                for _ in range(plan.layers)
            )
        )  # fmt: skip
        self.norm = nn.LayerNorm(plan.features, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layers(x + self.positions))


class Patches(nn.Module):
    """[B, 3, H, W] -> [B, N, F], one row a patch."""

    def __init__(self, plan: VitPlan) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, plan.features, plan.patch, stride=plan.patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).flatten(2).transpose(1, 2)


class VitEncoder(Layered, PixelEncoder):
    """Images to latents.

    Args:
        width: c, the codebook's width.
        plan: shape of the transformer.
    """

    def __init__(self, width: int, plan: VitPlan) -> None:
        super().__init__()
        self.plan = plan
        self.layers = nn.Sequential(Patches(plan), Transformer(plan), nn.Linear(plan.features, width))
        _initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> [B, c, h, w]. Raises as `grid`."""
        grid = self.grid(images.shape)
        return self.layers(images).transpose(1, 2).unflatten(2, grid)

    def grid(self, pixels: tuple[int, ...]) -> tuple[int, ...]:
        """As for every encoder. Raises ShapeError as `VitPlan.grid`."""
        return self.plan.grid(tuple(pixels))


class VitDecoder(Layered):
    """Latents to images. Arguments as for VitEncoder."""

    def __init__(self, width: int, plan: VitPlan) -> None:
        super().__init__()
        self.plan = plan
        patch = nn.Linear(plan.features, 3 * plan.patch**2)
        self.layers = nn.Sequential(nn.Linear(width, plan.features), Transformer(plan), patch)
        _initialize(self)

    def forward(self, latents: Tensor) -> Tensor:
        """[B, c, h, w] -> [B, 3, H, W], about [-1, 1], not clipped. Raises ShapeError: another grid."""
        side = self.plan.side
        if latents.ndim != 4 or latents.shape[2:] != (side, side):
            raise ShapeError(f"latents must be [B, c, {side}, {side}], got {tuple(latents.shape)}")
        rows = self.layers(latents.flatten(2).transpose(1, 2))
        return F.pixel_shuffle(rows.transpose(1, 2).unflatten(2, (side, side)), self.plan.patch)


def transformer(preset: str, width: int) -> Autoencoder:
    """The network of a preset of VITS, to latents of `width`."""
    plan = VITS[preset]
    return Autoencoder(VitEncoder(width, plan), VitDecoder(width, plan))
