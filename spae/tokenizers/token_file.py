"""Tokens of one tokenizer as a file that can be committed: read-only, in safetensors. Imports no torch.

| entry | holds |
| --- | --- |
| tensor `images` | [N, 32] uint8, SHA-256 of each image's pixels and shape, ascending |
| tensor `ids` | [N, sum of N_l] int32, ids of all layers, layer by layer, raster order |
| metadata | tokenizer fingerprint, grids, separator, and the word of each id used, as JSON |

Tokens of another processor may differ in an id where two words are all but equally near. With such a file, prompts of
the images in it are the same everywhere, and so are the stored replies that they find.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from spae.atomic import atomic_path
from spae.canonical import canonical_json
from spae.errors import InputError
from spae.tokens import ImageTokens


class TokenFile:
    """Tokens by image, of one tokenizer.

    Raises:
        InputError: the file is missing, or its content is not as the table above says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with safe_open(path, "numpy") as file:
                self._facts: dict[str, Any] = json.loads((file.metadata() or {})["tokens"])
        except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
            raise InputError(f"{path} must be a file of tokens ({error!r}): restore it, or export it again") from error
        try:
            self.tokenizer = str(self._facts["tokenizer"])
            self._grids = tuple((int(rows), int(columns)) for rows, columns in self._facts["grids"])
            self._words = {int(index): str(word) for index, word in self._facts["words"].items()}
            self._join = str(self._facts["join"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} lacks facts of its tokens ({error!r}): restore it, or export it again") from error

    def __len__(self) -> int:
        return len(self._tensors[1])

    def get_many(self, images: Sequence[str], depth: int) -> dict[str, ImageTokens]:
        """The tokens of layers 1 to `depth` of those images, by SHA-256, that are in the file, down to that layer."""
        if depth > len(self._grids):
            return {}
        rows, ids = self._tensors
        return {image: self._tokens(ids[rows[image]], depth) for image in images if image in rows}

    @cached_property
    def _tensors(self) -> tuple[dict[str, int], np.ndarray]:
        width = sum(rows * columns for rows, columns in self._grids)
        try:
            with safe_open(self.path, "numpy") as file:
                images, ids = file.get_tensor("images"), file.get_tensor("ids")
        except (OSError, SafetensorError) as error:
            raise InputError(f"{self.path} must hold images and ids ({error}): restore it") from error
        if images.shape != (len(ids), 32) or ids.shape[1:] != (width,) or not set(np.unique(ids)) <= set(self._words):
            raise InputError(
                f"{self.path} must hold {width} ids an image, each with a word, got {list(ids.shape)}: restore it"
            )
        return {bytes(one).hex(): row for row, one in enumerate(images)}, ids

    def _tokens(self, flat: np.ndarray, depth: int) -> ImageTokens:
        layers: list[tuple[int, ...]] = []
        start = 0
        for rows, columns in self._grids[:depth]:
            layers.append(tuple(int(index) for index in flat[start : start + rows * columns]))
            start += rows * columns
        words = tuple(tuple(self._words[index] for index in layer) for layer in layers)
        return ImageTokens(tuple(layers), words, self._grids[:depth], self._join)


def write_token_file(path: Path, tokenizer: str, tokens: Mapping[str, ImageTokens]) -> None:
    """Writes tokens by image SHA-256, in order; equal tokens give equal bytes.

    Args:
        tokenizer: fingerprint.
        tokens: of at least one image, all of the same grids.

    Raises:
        InputError: there is none, or their grids differ.
    """
    forms = {(one.grids, one.join) for one in tokens.values()}
    if len(forms) != 1:
        raise InputError(f"a file of tokens needs images of one pyramid, got {len(forms)} kinds")
    ((grids, join),) = forms
    words: dict[int, str] = {}
    for one in tokens.values():
        for layer, texts in zip(one.ids, one.words, strict=True):
            words |= zip(layer, texts, strict=True)
    order = sorted(tokens)
    ids = np.array([[index for layer in tokens[image].ids for index in layer] for image in order], np.int32)
    images = np.array([list(bytes.fromhex(image)) for image in order], np.uint8)
    facts = {
        "tokenizer": tokenizer,
        "grids": grids,
        "join": join,
        "words": {str(key): words[key] for key in sorted(words)},
    }
    with atomic_path(path) as temporary:
        save_file({"ids": ids, "images": images}, temporary, {"tokens": canonical_json(facts)})
