"""One word a picture: the name of its average colour."""

from collections.abc import Sequence

import numpy as np

from spae.tokens import PictureTokens

COLOURS = {"black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


class AverageColour:
    name, depth, size, fingerprint = "average-colour", 1, 8, "average-colour-1"

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        mean = np.asarray(picture).reshape(-1, 3).mean(0)
        return np.broadcast_to(mean.astype(np.uint8), (8, 8, 3)).copy()

    def encode(self, pictures: Sequence[np.ndarray], depth: int | None = None) -> list[PictureTokens]:
        return [self._tokens(picture) for picture in pictures]

    def decode(self, tokens: Sequence[PictureTokens], layers: Sequence[int] | None = None) -> list[np.ndarray]:
        shades = [COLOURS[one.words[0][0]] for one in tokens]
        return [np.full((8, 8, 3), shade, np.uint8) for shade in shades]

    def _tokens(self, picture: np.ndarray) -> PictureTokens:
        mean = self.prepare(picture)[0, 0].astype(int)
        distances = [int(((mean - np.array(shade)) ** 2).sum()) for shade in COLOURS.values()]
        place = distances.index(min(distances))
        return PictureTokens(((place,),), ((list(COLOURS)[place],),), ((1, 1),))
