"""Networks by the name of their preset."""

from __future__ import annotations

from torch import nn

from spae.errors import InputError
from spae.network_presets import NETWORKS, network_plan
from spae.networks.autoencoder import Autoencoder, Decoder, Encoder, planned
from spae.networks.dual_encoder import DualEncoder
from spae.networks.vit import transformer


def build_autoencoder(preset: str, width: int, projected_dim: int = 0) -> Autoencoder:
    """The networks of a preset, with random weights.

    Args:
        preset: `image`, `image-256`, `mnist`, `picto` and `picto-256` take images, `video` and `picto-video` videos;
            `lqae` and `picto-lqae` are transformers on images.
        width: c, the codebook's width.
        projected_dim: K, further channels from a reconstruction branch, the last of the latents; the decoder reads
            only these. 0: one encoder, and a decoder that reads all channels.

    At width 1536 `image` has 59.40 M parameters, the paper's 59 M, and `video` 175.90 M, its 176 M (appendix B.1).

    Raises:
        UnknownName: there is no such preset.
        InputError: a transformer with a reconstruction branch, which does not exist.
    """
    network_plan(preset)
    if preset in NETWORKS:
        plan, ops = planned(preset)
        if projected_dim:
            return Autoencoder(DualEncoder(width, projected_dim, plan, ops), Decoder(projected_dim, plan, ops))
        return Autoencoder(Encoder(width, plan, ops), Decoder(width, plan, ops))
    if projected_dim:
        raise InputError(f"network {preset} has no reconstruction branch: leave projected_layers at 0")
    return transformer(preset, width)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters of `module`."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
