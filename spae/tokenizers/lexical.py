"""A trained model as a tokenizer: images to words of a vocabulary and back.

SPAE's ids are words of its vocabulary. A learned codebook (VQGAN) has no words: its id k is shown as the k-th most
frequent word of the vocabulary, so that the LLM sees text of the same kind.

D layers, H W pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from spae.errors import InputError, ShapeError
from spae.threads import small_work
from spae.tokenizers.build import load_model
from spae.tokenizers.hub import HubTokenizer
from spae.tokenizers.model import TokenizerModel, to_tensor
from spae.tokenizers.model_folder import folder_fingerprint, load_config
from spae.tokenizers.own_vocabulary import model_vocabulary
from spae.tokens import ImageTokens
from spae.vocabulary import LexicalVocabulary

BATCH = 64
# Where the best two scores differ by less than this, the search runs again in float64, so that an image gets the same
# words in any batch, with any number of threads and on any machine; float32 latents moved scores by 5e-6 at most.
NEAR_TIE = 2e-4


def middle_square(image: np.ndarray, size: int) -> np.ndarray:
    """The middle square of an image, resized to [size, size, 3] uint8 with antialiasing. Raises ShapeError."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ShapeError(f"an image is [H, W, 3] uint8, got {image.shape} {image.dtype}")
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    square = torch.from_numpy(np.array(image[top : top + side, left : left + side])).permute(2, 0, 1)[None]
    small = F.interpolate(square.double(), size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    # Halves are shifted off the tie, so that every machine rounds them the same way.
    return (small[0] + 1e-6).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


class LexicalTokenizer(HubTokenizer):
    """Images to words and back (see `spae.tokenizers.protocol.Tokenizer`).

    Args:
        name: for users and reports.
        model: trained, in evaluation mode, float32.
        vocabulary: its words are shown for the ids.
        image_size: side of its images in pixels.
        fingerprint: sha256 over configuration, weights and vocabulary.
        family: kind of model, as `model_family` has it.

    Raises:
        InputError: the model is of videos, or has more codebook entries than the vocabulary has words.

    Attributes:
        lexical_vocabulary: as given.
        vocabulary: the word that each id is shown as, by id.
    """

    def __init__(
        self,
        name: str,
        model: TokenizerModel,
        vocabulary: LexicalVocabulary,
        image_size: int,
        fingerprint: str,
        family: str = "spae",
    ) -> None:
        grid, entries = model.quantizer.pyramid.grid, len(model.quantizer.codebook)
        if len(grid) != 2:
            raise InputError(
                f"{name} is a model of videos, in a grid of {grid}: this tokenizer reads images; open it with "
                "spae.from_pretrained"
            )
        if entries > len(vocabulary):
            raise InputError(
                f"{name} has {entries} codebook entries and {len(vocabulary)} words to show them as: use a larger "
                "vocabulary"
            )
        self.name = name
        self.image_size = image_size
        self.family = family
        self.fingerprint = fingerprint
        self.depth = model.quantizer.pyramid.depth
        self._model = model
        self._exact: TokenizerModel | None = None
        self.lexical_vocabulary = vocabulary
        self.vocabulary = vocabulary.words[:entries]

    @classmethod
    def _from_folder(cls, folder: Path, name: str | None) -> LexicalTokenizer:
        config = load_config(folder)
        vocabulary = model_vocabulary(folder, config)
        model = load_model(folder, vocabulary)
        return cls(name or config.name, model, vocabulary, config.image_size, folder_fingerprint(folder), config.family)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """The middle square, resized to [image_size, image_size, 3] uint8 with antialiasing. Raises ShapeError."""
        return middle_square(image, self.image_size)

    @torch.inference_mode()
    def encode(self, images: Sequence[np.ndarray], depth: int | None = None) -> list[ImageTokens]:
        """Args: images, each [H, W, 3] uint8 RGB, any size. Returns the tokens of each, in order.

        With `depth`, only the first `depth` layers are computed.
        """
        depth = self.depth if depth is None else depth
        if not 1 <= depth <= self.depth:
            raise InputError(f"{self.name} has layers 1 to {self.depth}, got depth {depth}")
        tokens: list[ImageTokens] = []
        for start in range(0, len(images), BATCH):
            batch = [self.prepare(image) for image in images[start : start + BATCH]]
            with small_work(len(batch) * self.image_size**2):
                tokens += self._encode(np.stack(batch), depth)
        return tokens

    def _encode(self, batch: np.ndarray, depth: int) -> list[ImageTokens]:
        images = to_tensor(batch)
        quantized = self._model.encode(images, depth)
        ids = [layer.clone() for layer in quantized.ids]
        close = torch.stack([margin.amin(1) for margin in quantized.margins]).amin(0) < NEAR_TIE
        if close.any():
            exact = self._exact_model().encode(images[close].double(), depth)
            for layer, found in zip(ids, exact.ids, strict=True):
                layer[close] = found
        return [self._tokens([layer[i].tolist() for layer in ids]) for i in range(len(batch))]

    def _exact_model(self) -> TokenizerModel:
        if self._exact is None:
            self._exact = copy.deepcopy(self._model).double()
        return self._exact

    def _tokens(self, ids: list[list[int]]) -> ImageTokens:
        grids = [grid[-2:] for grid in self._model.quantizer.pyramid.layers[: len(ids)]]
        words = tuple(tuple(self.vocabulary[i] for i in layer) for layer in ids)
        shapes = tuple((rows, columns) for rows, columns in grids)
        return ImageTokens(tuple(map(tuple, ids)), words, shapes, self.lexical_vocabulary.join)

    @torch.inference_mode()
    def decode(self, tokens: Sequence[ImageTokens], layers: Sequence[int] | None = None) -> list[np.ndarray]:
        """Images [image_size, image_size, 3] uint8 RGB from the tokens of `layers` (1-based; None is all of them)."""
        decoded: list[np.ndarray] = []
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            ids = [torch.tensor([image.ids[layer] for image in part]) for layer in range(len(part[0].ids))]
            used = list(range(1, len(ids) + 1)) if layers is None else layers
            if any(not 1 <= layer <= len(ids) for layer in used):
                raise InputError(f"layers must be of 1 to {len(ids)}, which these tokens have, got {list(used)}")
            with small_work(len(part) * self.image_size**2):
                images = self._model.decode(self._model.quantizer.decode_ids(ids, used))
            pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte()
            decoded += list(pixels.permute(0, 2, 3, 1).numpy())
        return decoded
