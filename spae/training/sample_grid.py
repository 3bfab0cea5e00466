"""Images to look at: originals over what is drawn of them from the first layer, the first two, and so on.

P images, D layers, H W pixels. Of clips, the middle frame.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from spae.atomic import atomic_path
from spae.tokenizers.model import TokenizerModel

IMAGES = 12
GAP = 2
LEAST_SIDE = 64  # smaller images are drawn with larger pixels


@torch.no_grad()
def sample_rows(model: TokenizerModel, images: Tensor) -> list[Tensor]:
    """D + 1 rows [P, 3, H, W] in [-1, 1]: the images, then their redrawings from layers 1..l.

    Args:
        model: in evaluation mode.
        images: [P, 3, H, W] or [P, 3, T, H, W] in [-1, 1], on the model's device.
    """
    quantized = model.encode(images)
    return [still(images), *(still(model.decode(value).clamp(-1, 1)) for value in quantized.embeddings)]


def still(images: Tensor) -> Tensor:
    """The middle frame of clips [P, 3, T, H, W]; images as they are."""
    return images[:, :, images.shape[2] // 2] if images.ndim == 5 else images


def write_grid(rows: list[Tensor], path: Path) -> None:
    """Rows of images [P, 3, H, W] in [-1, 1] as one PNG with white lines between them."""
    scale = max(1, LEAST_SIDE // rows[0].shape[-1])
    rows = [row.repeat_interleave(scale, 2).repeat_interleave(scale, 3) for row in rows]
    _, _, height, width = rows[0].shape
    columns = len(rows[0])
    size = (columns * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for y, row in enumerate(rows):
        pixels = ((row.float().cpu() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        for x, one in enumerate(pixels):
            sheet.paste(Image.fromarray(one), (x * (width + GAP), y * (height + GAP)))
    with atomic_path(path) as draft:
        sheet.save(draft, format="PNG")
