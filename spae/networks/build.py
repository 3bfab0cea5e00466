"""Networks by the name of their preset."""

from __future__ import annotations

from torch import nn

from spae.errors import InputError, UnknownName
from spae.networks.autoencoder import NETWORKS, Autoencoder, Decoder, Encoder, planned
from spae.networks.dual_encoder import DualEncoder
from spae.networks.vit import VITS, transformer


def build_autoencoder(preset: str, width: int, drawing: int = 0) -> Autoencoder:
    """The networks of a preset, with random weights.

    Args:
        preset: `image`, `image-256`, `mnist`, `picto` and `picto-256` take images, `video` and `picto-video` clips;
            `lqae` and `picto-lqae` are transformers.
        width: c, the codebook's width.
        drawing: so many channels more, from an encoder of their own, come last, and the decoder reads them alone.

    At width 1536 `image` has 59.40 M parameters, the paper's 59 M, and `video` 175.90 M, its 176 M (appendix B.1).

    Raises:
        UnknownName: there is no such preset.
        InputError: a transformer has no second encoder.
    """
    if preset in NETWORKS:
        plan, ops = planned(preset)
        if drawing:
            return Autoencoder(DualEncoder(width, drawing, plan, ops), Decoder(drawing, plan, ops))
        return Autoencoder(Encoder(width, plan, ops), Decoder(width, plan, ops))
    if preset in VITS:
        if drawing:
            raise InputError(f"network {preset} has no encoder to draw with: leave projected_layers at 0")
        return transformer(preset, width)
    raise UnknownName("network preset", preset, [*NETWORKS, *VITS])


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers in `module`."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
