"""A small set of squares instead of the pictograms."""

from __future__ import annotations

import numpy as np
import pytest

from spae.data.embedded.pictograms import HELD_OUT_STYLE, Concept, Pictograms

STYLES = ("noto", HELD_OUT_STYLE, "twemoji")


@pytest.fixture(scope="session")
def few_pictograms() -> Pictograms:
    """Five concepts in three styles, the last concept held out: 8 rows to train on."""
    names = ("lion", "cat", "vase", "truck", "tree")
    concepts = tuple(Concept(f"1F{i}", name, (), "objects", held_out=i == 4) for i, name in enumerate(names))
    pixels = np.full((15, 64, 64, 3), 255, np.uint8)
    for row in range(15):
        concept, style = divmod(row, 3)
        pixels[row, 8 + 4 * concept : 40 + 4 * concept, 10 + 6 * style : 50] = (40 * concept, 90 * style, 200)
    index = np.arange(15, dtype=np.int64)
    return Pictograms(
        concepts=concepts, styles=STYLES, pixels=pixels, concept=index // 3, style=index % 3, fingerprint="0" * 64
    )
