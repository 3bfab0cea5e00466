"""Networks by the name of their preset."""

from __future__ import annotations

from torch import nn

from spae.errors import UnknownName
from spae.networks.autoencoder import NETWORKS, Autoencoder, convolutional
from spae.networks.vit import VITS, transformer


def build_autoencoder(preset: str, width: int, read: int | None = None) -> Autoencoder:
    """The networks of a preset, with random weights.

    Args:
        preset: `image`, `image-256`, `mnist`, `picto` and `picto-256` take pictures, `video` and `picto-video` clips;
            `lqae` and `picto-lqae` are transformers.
        width: c, the codebook's width.
        read: channels that the decoder reads, where not all.

    At width 1536 `image` has 59.40 M parameters, the paper's 59 M, and `video` 175.90 M, its 176 M (appendix B.1).

    Raises:
        UnknownName: there is no such preset.
    """
    if preset in NETWORKS:
        return convolutional(preset, width, read or width)
    if preset in VITS:
        return transformer(preset, width, read or width)
    raise UnknownName("network preset", preset, [*NETWORKS, *VITS])


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers in `module`."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
