"""Words of images for a run: each image is read and encoded once for each tokenizer."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from benchmarks.plan import TaskRun, TokenizerView
from benchmarks.shuffled_images import stand_ins
from results.report.example import Png, png_text

BATCH = 64


def png(pixels: np.ndarray) -> Png:
    """[H, W, 3] uint8 as the PNG text of an example."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return png_text(stream.getvalue())


class ImageWords:
    """The tokens of a job's images as one view shows them.

    Args:
        job: whose samples name the images.
        view: which tokenizer and layers.
    """

    def __init__(self, job: TaskRun, view: TokenizerView) -> None:
        self._job = job
        self._view = view
        self._depth = max(view.layers)
        self._stand_ins = None if view.shuffle_seed is None else stand_ins(job.data, view.shuffle_seed)
        self._texts: dict[str, str] = {}

    def add(self, image_ids: list[str]) -> None:
        """Encode those that are not yet. Raises CorruptImage."""
        missing = [name for name in dict.fromkeys(image_ids) if name not in self._texts]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            images = [self._job.data.image(self._source(name)) for name in part]
            for name, tokens in zip(part, self._view.tokenizer.encode(images, self._depth), strict=True):
                self._texts[name] = tokens.text(self._view.layers)

    def _source(self, name: str) -> str:
        """The image whose words `name` is shown with."""
        return name if self._stand_ins is None else self._stand_ins[name]

    @property
    def texts(self) -> dict[str, str]:
        """SPAE strings by image id, of all that were added."""
        return self._texts
