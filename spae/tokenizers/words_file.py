"""Tokens of images as JSON: what `tokenize --json` writes and `decode` reads.

    {"format": 1,
     "tokenizer": {"name": "spae", "sha256": "..."}, "vocabulary": {"sha256": "..."},
     "grids": [[1, 1], [2, 2]], "layers": [1, 2],
     "images": [{"image": "lion.png", "tokens": [{"layer": 1, "ids": [7], "words": ["lion"]}, ...]}]}

`grids` are of layers 1 to D of the tokenizer, `layers` those that are here. A layer has ids, words, or both.
The file may come from anywhere: everything in it is checked against the tokenizer that decodes it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spae.errors import InputError
from spae.layers import select_layers
from spae.regular_file import parse_json
from spae.tokenizers.protocol import Tokenizer
from spae.tokens import ImageTokens

FORMAT = 1
MAX_BYTES = 512_000_000
"""Of a file that is read."""


@dataclass(frozen=True)
class WordsFile:
    """Tokens that fit the tokenizer.

    Attributes:
        names: of the images, as in the file.
        layers: those that were read, ascending, counted from 1; every image has them.
        tokens: of each image; a layer that is not among `layers` holds zeros that mean nothing.
        note: for the user; empty if there is nothing to say.
    """

    names: tuple[str, ...]
    layers: tuple[int, ...]
    tokens: tuple[ImageTokens, ...]
    note: str


def grids_of(tokenizer: Tokenizer) -> tuple[tuple[int, int], ...]:
    """(rows, columns) of each of its layers, from encoding a blank image."""
    blank = np.zeros((tokenizer.image_size, tokenizer.image_size, 3), np.uint8)
    return tokenizer.encode([blank])[0].grids


def words_json(
    tokenizer: Tokenizer, names: Sequence[str], tokens: Sequence[ImageTokens], layers: Sequence[int]
) -> dict[str, Any]:
    """Plain values of the tokens of `layers`, from 1.

    Args:
        tokens: with layers 1 to the last of `layers` at least.
    """
    vocabulary = _vocabulary_sha256(tokenizer)
    grids = tokens[0].grids if tokens else ()
    return {
        "format": FORMAT,
        "tokenizer": {"name": tokenizer.name, "sha256": tokenizer.fingerprint},
        **({"vocabulary": {"sha256": vocabulary}} if vocabulary else {}),
        "grids": [list(grid) for grid in grids],
        "layers": list(layers),
        "images": [
            {
                "image": name,
                "tokens": [
                    {"layer": layer, "ids": list(one.ids[layer - 1]), "words": list(one.words[layer - 1])}
                    for layer in layers
                ],
            }
            for name, one in zip(names, tokens, strict=True)
        ],
    }


def read_words(text: str | bytes, tokenizer: Tokenizer, wanted: str | None = None) -> WordsFile:
    """The tokens in a file, for `tokenizer` to decode.

    Args:
        text: content of the file.
        wanted: layers as typed after --layers; all in the file by default.

    Raises:
        InputError: not JSON of this format, another vocabulary, or tokens that the tokenizer lacks.
    """
    if len(text) > MAX_BYTES:
        raise InputError(f"a file of tokens may have {MAX_BYTES:,} bytes, got {len(text):,}: split it")
    try:
        data = parse_json(text if isinstance(text, bytes) else text.encode())
    except ValueError as error:
        raise InputError(f"tokens must be JSON as tokenize --json writes it, got {_short(str(error))}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else data
        raise InputError(f'tokens must be a JSON object with "format": {FORMAT}, got {_short(found)}: tokenize again')
    note = _check_origin(data, tokenizer)
    grids = grids_of(tokenizer)
    stated = data.get("grids")
    ours = [list(grid) for grid in grids]
    if stated is not None and (not isinstance(stated, list) or not stated or stated != ours[: len(stated)]):
        raise InputError(
            f"the file's layers have grids {_short(stated)}, {tokenizer.name}'s are {_shown(grids)}: "
            "pass the --tokenizer that made it"
        )
    available = data.get("layers")
    if available is None:
        available = list(range(1, len(stated or grids) + 1))
    if not isinstance(available, list) or not available or any(type(one) is not int for one in available):
        raise InputError(f'"layers" must list the layers of each image, got {_short(available)}')
    if sorted(set(available)) != available or not 1 <= available[0] <= available[-1] <= len(grids):
        raise InputError(f'"layers" must run upwards within 1 to {len(grids)}, got {_short(available)}')
    images = data.get("images")
    if not isinstance(images, list) or not images:
        raise InputError(f'"images" must list at least one image, got {_short(images)}')
    layers = select_layers(wanted, available)
    reader = _Reader(tokenizer, grids)
    names, tokens = [], []
    for number, image in enumerate(images, start=1):
        if not isinstance(image, dict):
            raise InputError(f"image {number} must be a JSON object, got {_short(image)}")
        name = image.get("image", f"image {number}")
        if not isinstance(name, str):
            raise InputError(f"image {number} must have a text as its name, got {_short(name)}")
        names.append(name)
        tokens.append(reader.image(image.get("tokens"), layers, f"image {number} ({_short(name)})"))
    return WordsFile(tuple(names), layers, tuple(tokens), note)


class _Reader:
    """Tokens from JSON values.

    Args:
        grids: of the tokenizer's layers.
    """

    def __init__(self, tokenizer: Tokenizer, grids: Sequence[tuple[int, int]]) -> None:
        self._name = tokenizer.name
        self._grids = tuple(grids)
        self._join: str = getattr(getattr(tokenizer, "lexical_vocabulary", None), "join", " ")
        # A plug-in's vocabulary may be empty: then only ids are read, and the plug-in checks them.
        self._words = tuple(tokenizer.vocabulary)
        self._index = {word: i for i, word in enumerate(self._words)}

    def image(self, found: Any, layers: Sequence[int], where: str) -> ImageTokens:
        """Args: found, the JSON value of an image's tokens. Layers that are not asked for are skipped."""
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise InputError(f'{where}: "tokens" must list objects with layer, ids or words, got {_short(found)}')
        by_layer: dict[Any, Mapping[str, Any]] = {}
        for one in found:
            layer = one.get("layer")
            if type(layer) is not int or layer in by_layer:
                raise InputError(f"{where}: each layer must appear once, by its number, got {_short(layer)}")
            by_layer[layer] = one
        ids, words = [], []
        for layer, (rows, columns) in enumerate(self._grids[: layers[-1]], start=1):
            count = rows * columns
            if layer not in layers:
                ids.append((0,) * count)
                words.append(("",) * count)
                continue
            if layer not in by_layer:
                raise InputError(f"{where} lacks layer {layer}: pass fewer --layers, or tokenize it again")
            layer_ids = self._layer(by_layer[layer], count, f"{where}, layer {layer}")
            ids.append(layer_ids)
            words.append(tuple(self._words[i] for i in layer_ids) if self._words else tuple(map(str, layer_ids)))
        return ImageTokens(tuple(ids), tuple(words), self._grids[: layers[-1]], self._join)

    def _layer(self, layer: Mapping[str, Any], count: int, where: str) -> tuple[int, ...]:
        ids, words = layer.get("ids"), layer.get("words")
        if ids is None and words is None:
            raise InputError(f"{where} has neither ids nor words: give one of them")
        for kind, values in (("ids", ids), ("words", words)):
            if values is not None and (not isinstance(values, list) or len(values) != count):
                seen = f"{len(values)}" if isinstance(values, list) else _short(values)
                raise InputError(f"{where} must list {count} {kind}, got {seen}")
        if words is not None and not self._words:
            if ids is None:
                raise InputError(f"{where}: {self._name} has no vocabulary, so ids are needed")
            words = None
        read = [self._id(word, f"{where}, word {i}") for i, word in enumerate(words or [], start=1)]
        for i, value in enumerate(ids or [], start=1):
            # True is an int to Python.
            if type(value) is not int or value < 0 or (self._words and value >= len(self._words)):
                most = f" to {len(self._words) - 1}" if self._words else ""
                raise InputError(f"{where}, id {i} must be a whole number from 0{most}, got {_short(value)}")
            if read and read[i - 1] != value:
                raise InputError(
                    f"{where}, token {i}: id {value} is {self._words[value]!r}, the word there is "
                    f"{self._words[read[i - 1]]!r}: remove ids or words if you changed the other"
                )
        return tuple(read if ids is None else ids)

    def _id(self, word: Any, where: str) -> int:
        found = self._index.get(word) if isinstance(word, str) else None
        if found is not None:
            return found
        # Comparing a long text with every word could take hours.
        fits = isinstance(word, str) and len(word) <= 40
        near = difflib.get_close_matches(word, self._words, n=1, cutoff=0.6) if fits else []
        hint = f"did you mean {near[0]!r}?" if near else "use a word of it"
        raise InputError(f"{where}: {_short(word)} is not one of {self._name}'s {len(self._words):,} words: {hint}")


def _check_origin(data: Mapping[str, Any], tokenizer: Tokenizer) -> str:
    """A note if another tokenizer made the tokens. Raises InputError: it has another vocabulary."""
    made = data.get("tokenizer")
    by = made.get("name") if isinstance(made, dict) else None
    stated = data.get("vocabulary")
    sha256, ours = stated.get("sha256") if isinstance(stated, dict) else None, _vocabulary_sha256(tokenizer)
    if (stated is not None or ours) and sha256 != ours:
        raise InputError(
            f"the file was made with vocabulary {_short(sha256, 12)}, {tokenizer.name} has "
            f"{_short(ours, 12)}: pass the --tokenizer that made it ({_short(by)})"
        )
    if isinstance(made, dict) and made.get("sha256") == tokenizer.fingerprint:
        return ""
    return (
        f"these tokens were made by another tokenizer ({_short(by)}) than {tokenizer.name}, which decodes them: "
        "its words may have other meanings"
    )


def _vocabulary_sha256(tokenizer: Tokenizer) -> str | None:
    vocabulary = getattr(tokenizer, "lexical_vocabulary", None)
    return None if vocabulary is None else str(vocabulary.fingerprint)


def _shown(grids: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{rows}x{columns}" for rows, columns in grids)


def _short(value: Any, most: int = 60) -> str:
    """A value of the file for a message: one short line without control characters."""
    text = repr(value)
    return text if len(text) <= most else text[:most] + "..."
