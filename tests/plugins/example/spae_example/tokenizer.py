"""One word an image: the name of its average colour."""

from collections.abc import Sequence

import numpy as np

from spae.tokens import ImageTokens

COLOURS = {"black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


class AverageColour:
    name = family = "average-colour"
    fingerprint = "average-colour-1"
    depth = 1
    image_size = 8
    vocabulary = tuple(COLOURS)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        mean = np.asarray(image).reshape(-1, 3).mean(0)
        return np.broadcast_to(mean.astype(np.uint8), (8, 8, 3)).copy()

    def encode(self, images: Sequence[np.ndarray], depth: int | None = None) -> list[ImageTokens]:
        return [self._tokens(image) for image in images]

    def decode(self, tokens: Sequence[ImageTokens], layers: Sequence[int] | None = None) -> list[np.ndarray]:
        shades = [COLOURS[one.words[0][0]] for one in tokens]
        return [np.full((8, 8, 3), shade, np.uint8) for shade in shades]

    def _tokens(self, image: np.ndarray) -> ImageTokens:
        mean = self.prepare(image)[0, 0].astype(int)
        distances = [int(((mean - np.array(shade)) ** 2).sum()) for shade in COLOURS.values()]
        place = distances.index(min(distances))
        return ImageTokens(((place,),), ((self.vocabulary[place],),), ((1, 1),))
