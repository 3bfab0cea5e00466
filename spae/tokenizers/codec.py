"""A tokenizer restricted to the layers that a prompt shows, on the images of one data set. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from spae.errors import InputError
from spae.tokenizers.protocol import Tokenizer
from spae.tokenizers.store import TokenStore, decoding_sha256, image_sha256
from spae.tokens import ImageTokens

BATCH = 64
"""Images read and encoded at a time."""


class Images(Protocol):
    """A data set's images by id."""

    def image(self, name: str, /) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage."""
        ...


class Codec:
    """Images of a data set to words and back; each image is encoded once, whoever asks for it.

    D layers; layer numbers are 1-based, layer 1 is the coarsest.

    Args:
        tokenizer: encodes and decodes.
        layers: those shown, each once; 1..D.
        images: the data set.
        store: tokens of earlier runs are read from it and new ones added; None keeps them for this codec alone.
        shuffled: by image id, the id of the image whose words it is shown with; None shows each image's own.
        depth: how many layers to encode; the deepest of `layers` by default. Codecs of one run that share a store
            should agree, so that none encodes an image again for its deeper layers.

    Raises:
        InputError: no layer, a layer that the tokenizer lacks, or one named twice.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        layers: Sequence[int],
        images: Images,
        store: TokenStore | None = None,
        shuffled: Mapping[str, str] | None = None,
        depth: int | None = None,
    ) -> None:
        wrong = not layers or len(set(layers)) != len(layers) or not 1 <= min(layers) <= max(layers) <= tokenizer.depth
        if wrong:
            raise InputError(f"{tokenizer.name} has layers 1 to {tokenizer.depth}, each once, got {list(layers)}")
        self.tokenizer = tokenizer
        self.layers = tuple(layers)
        self.images = images
        self.shuffled = shuffled
        self._depth = max(*layers, depth or 1)
        self._store = store
        self._tokens: dict[str, ImageTokens] = {}

    @property
    def vocabulary(self) -> Sequence[str]:
        """The word that each token id is shown as, by id."""
        return self.tokenizer.vocabulary

    def prepare(self, image_ids: Sequence[str]) -> None:
        """Read and encode images in batches, so that asking for them one by one costs nothing. Raises CorruptImage."""
        missing = [name for name in dict.fromkeys(map(self._source, image_ids)) if name not in self._tokens]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            pixels = [self.images.image(name) for name in part]
            self._tokens.update(zip(part, self._encode(pixels), strict=True))

    def encode(self, image_ids: Sequence[str]) -> list[ImageTokens]:
        """The tokens of images, in order, up to the deepest layer shown at least. Raises CorruptImage."""
        self.prepare(image_ids)
        return [self._tokens[self._source(name)] for name in image_ids]

    def text(self, image_id: str) -> str:
        """The SPAE string of an image: the words of `layers`, layer by layer."""
        return self.encode([image_id])[0].text(self.layers)

    def decode(self, tokens: Sequence[ImageTokens], layers: Sequence[int] | None = None) -> list[np.ndarray]:
        """Images [image_size, image_size, 3] uint8 RGB from tokens, through the store.

        Args:
            layers: to decode from; the codec's own by default.
        """
        used = self.layers if layers is None else tuple(layers)
        if self._store is None:
            return self.tokenizer.decode(tokens, used)
        keys = [decoding_sha256(one, used) for one in tokens]
        by_key = dict(zip(keys, tokens, strict=True))
        found = self._store.get_pixels(self.tokenizer.fingerprint, keys)
        missing = [key for key in by_key if key not in found]
        if missing:
            decoded = self.tokenizer.decode([by_key[key] for key in missing], used)
            made = dict(zip(missing, decoded, strict=True))
            self._store.put_pixels(self.tokenizer.fingerprint, made)
            found |= made
        return [found[key] for key in keys]

    def inputs(self, image_ids: Sequence[str]) -> list[np.ndarray]:
        """Images as the tokenizer sees them, [image_size, image_size, 3] uint8 RGB, through the store.

        Always the image of that id, never its shuffled one. Raises CorruptImage.
        """
        pixels = [self.images.image(name) for name in image_ids]
        if self._store is None:
            return [self.tokenizer.prepare(one) for one in pixels]
        keys = [f"input/{image_sha256(one)}" for one in pixels]
        found = self._store.get_pixels(self.tokenizer.fingerprint, keys)
        made = {key: self.tokenizer.prepare(one) for key, one in zip(keys, pixels, strict=True) if key not in found}
        self._store.put_pixels(self.tokenizer.fingerprint, made)
        found |= made
        return [found[key] for key in keys]

    def _source(self, name: str) -> str:
        return name if self.shuffled is None else self.shuffled[name]

    def _encode(self, pixels: Sequence[np.ndarray]) -> list[ImageTokens]:
        """Tokens of images, in order: from the store, and what it lacks from the tokenizer."""
        if self._store is None:
            return self._encoded(pixels)
        keys = [image_sha256(one) for one in pixels]
        by_key = dict(zip(keys, pixels, strict=True))
        found = self._store.get_many(self.tokenizer.fingerprint, keys, self._depth)
        missing = [key for key in by_key if key not in found]
        if missing:
            encoded = self._encoded([by_key[key] for key in missing])
            made = dict(zip(missing, encoded, strict=True))
            self._store.put_many(self.tokenizer.fingerprint, made)
            found |= made
        return [found[key] for key in keys]

    def _encoded(self, pixels: Sequence[np.ndarray]) -> list[ImageTokens]:
        """Raises InputError: the tokenizer (a plug-in's) gives something other than the tokens of each image."""
        found = self.tokenizer.encode(pixels, self._depth)
        if (
            not isinstance(found, list)
            or len(found) != len(pixels)
            or not all(isinstance(one, ImageTokens) and len(one.ids) >= self._depth for one in found)
        ):
            raise InputError(
                f"tokenizer {self.tokenizer.name!r} must encode {len(pixels)} images into a list of as many "
                f"ImageTokens of {self._depth} layers or more, got {_shown(found)}: repair it"
            )
        return found


def _shown(found: object) -> str:
    if not isinstance(found, list):
        return type(found).__name__
    kinds = sorted({type(one).__name__ for one in found})
    layers = sorted({len(one.ids) for one in found if isinstance(one, ImageTokens)})
    return f"a list of {len(found)} ({', '.join(kinds) or 'nothing'}; layers {layers})"
