"""A trained video model as a tokenizer: videos to words of a vocabulary and back.

T frames, H W pixels, D layers.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from spae.errors import InputError, ShapeError
from spae.pyramid import Grid
from spae.tokenizers.build import load_model
from spae.tokenizers.hub import HubTokenizer
from spae.tokenizers.lexical import NEAR_TIE, middle_square
from spae.tokenizers.model import TokenizerModel
from spae.tokenizers.model_folder import folder_fingerprint, load_config
from spae.tokenizers.own_vocabulary import model_vocabulary
from spae.vocabulary import LexicalVocabulary


@dataclass(frozen=True)
class VideoTokens:
    """The pyramid of tokens of one video.

    Attributes:
        ids: per layer, N_l indices into the tokenizer's vocabulary, frame by frame, each in raster order.
        words: per layer, the N_l words that the LLM is shown for those ids.
        grids: per layer, its (frames, rows, columns).
        join: separator of words in text.
    """

    ids: tuple[tuple[int, ...], ...]
    words: tuple[tuple[str, ...], ...]
    grids: tuple[Grid, ...]
    join: str = " "

    def __post_init__(self) -> None:
        sizes = [math.prod(grid) for grid in self.grids]
        for what, layers in (("ids", self.ids), ("words", self.words)):
            if [len(layer) for layer in layers] != sizes:
                raise InputError(f"{what} per layer must be {sizes}, got {[len(layer) for layer in layers]}")

    def text(self, layers: Sequence[int]) -> str:
        """The SPAE string: the words of `layers` (1-based). Raises InputError."""
        for layer in layers:
            if not 1 <= layer <= len(self.words):
                raise InputError(f"layers run from 1 to {len(self.words)}, got {layer}")
        return self.join.join(word for layer in layers for word in self.words[layer - 1])


class VideoTokenizer(HubTokenizer):
    """Videos to words and back.

    Args:
        name: for users and reports.
        model: trained on videos, in evaluation mode, float32.
        vocabulary: its words are shown for the ids.
        image_size: side of its frames in pixels.
        num_frames: T, how many frames a video has.
        fingerprint: sha256 over configuration, weights and vocabulary.

    Raises:
        InputError: the model is of images, or has more codebook entries than the vocabulary has words.
    """

    def __init__(
        self,
        name: str,
        model: TokenizerModel,
        vocabulary: LexicalVocabulary,
        image_size: int,
        num_frames: int,
        fingerprint: str,
    ) -> None:
        grid, entries = model.quantizer.pyramid.grid, len(model.quantizer.codebook)
        if len(grid) != 3 or num_frames < 1:
            raise InputError(f"{name} is a model of images, in a grid of {grid}: open it with spae.from_pretrained")
        if entries > len(vocabulary):
            raise InputError(
                f"{name} has {entries} codebook entries and {len(vocabulary)} words to show them as: use a larger "
                "vocabulary"
            )
        self.name = name
        self.image_size = image_size
        self.num_frames = num_frames
        self.fingerprint = fingerprint
        self.depth = model.quantizer.pyramid.depth
        self.lexical_vocabulary = vocabulary
        self.vocabulary = vocabulary.words[:entries]
        self._model = model
        self._exact: TokenizerModel | None = None

    @classmethod
    def _from_folder(cls, folder: Path, name: str | None) -> VideoTokenizer:
        config = load_config(folder)
        vocabulary = model_vocabulary(folder, config)
        model = load_model(folder, vocabulary)
        return cls(
            name or config.name, model, vocabulary, config.image_size, config.num_frames, folder_fingerprint(folder)
        )

    def prepare(self, video: np.ndarray) -> np.ndarray:
        """The middle square of each frame, [T, image_size, image_size, 3] uint8. Raises ShapeError."""
        if video.ndim != 4 or len(video) != self.num_frames:
            raise ShapeError(
                f"a video for {self.name} is [{self.num_frames}, H, W, 3] uint8, got {video.shape} {video.dtype}"
            )
        return np.stack([middle_square(frame, self.image_size) for frame in video])

    @torch.inference_mode()
    def encode(self, videos: Sequence[np.ndarray], depth: int | None = None) -> list[VideoTokens]:
        """Args: videos, each [T, H, W, 3] uint8 RGB, any size. Returns the tokens of each, in order.

        With `depth`, only the first `depth` layers are computed.
        """
        depth = self.depth if depth is None else depth
        if not 1 <= depth <= self.depth:
            raise InputError(f"{self.name} has layers 1 to {self.depth}, got depth {depth}")
        # One at a time: a video is as large as a batch of images.
        return [self._tokens(torch.from_numpy(self.prepare(video)), depth) for video in videos]

    def _tokens(self, video: torch.Tensor, depth: int) -> VideoTokens:
        pixels = video.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        quantized = self._model.encode(pixels, depth)
        if min(float(margin.min()) for margin in quantized.margins) < NEAR_TIE:
            if self._exact is None:
                self._exact = copy.deepcopy(self._model).double()
            quantized = self._exact.encode(pixels.double(), depth)
        ids = tuple(tuple(layer[0].tolist()) for layer in quantized.ids)
        words = tuple(tuple(self.vocabulary[i] for i in layer) for layer in ids)
        return VideoTokens(ids, words, self._model.quantizer.pyramid.layers[:depth], self.lexical_vocabulary.join)

    @torch.inference_mode()
    def decode(self, tokens: Sequence[VideoTokens], layers: Sequence[int] | None = None) -> list[np.ndarray]:
        """Videos [T, image_size, image_size, 3] uint8 RGB from the tokens of `layers` (1-based; None is all)."""
        decoded = []
        for one in tokens:
            ids = [torch.tensor([layer]) for layer in one.ids]
            used = list(range(1, len(ids) + 1)) if layers is None else layers
            videos = self._model.decode(self._model.quantizer.decode_ids(ids, used))
            pixels = ((videos[0].clamp(-1, 1) + 1) * 127.5).round().byte()
            decoded.append(pixels.permute(1, 2, 3, 0).numpy())
        return decoded
