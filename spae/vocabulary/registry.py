"""Vocabularies by the name that recipes and checkpoints use: the built-in ones, and those saved in the cache folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from spae.cache_folder import cache_folder
from spae.errors import InputError, UnknownName
from spae.vocabulary.contextual import smollm2_minilm_vocabulary
from spae.vocabulary.lexical import LexicalVocabulary
from spae.vocabulary.smollm2 import smollm2_vocabulary

VOCABULARIES: dict[str, Callable[[], LexicalVocabulary]] = {
    "smollm2": smollm2_vocabulary,
    "smollm2-minilm": smollm2_minilm_vocabulary,
}


def saved_vocabulary_path(name: str) -> Path:
    """The path to save a vocabulary to, so that `open_vocabulary(name)` finds it.

    Raises:
        InputError: not a plain name, or that of a built-in vocabulary.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) or name in VOCABULARIES:
        raise InputError(
            f"a vocabulary's name has lower-case letters, digits, dots, dashes and underscores, and is none of "
            f"{', '.join(VOCABULARIES)}, got {name!r}"
        )
    return cache_folder() / "vocabularies" / f"{name}.safetensors"


def open_vocabulary(name: str) -> LexicalVocabulary:
    """The vocabulary of that name. Raises UnknownName; WeightsError: its source is missing."""
    if name in VOCABULARIES:
        return VOCABULARIES[name]()
    folder = cache_folder() / "vocabularies"
    saved = {file.stem: file for file in folder.glob("*.safetensors")}
    if name not in saved:
        raise UnknownName("vocabulary", name, [*VOCABULARIES, *saved])
    return LexicalVocabulary.load(saved[name])
