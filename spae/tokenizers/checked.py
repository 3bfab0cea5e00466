"""Tokenizers of other packages, held to what the protocol says they return. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spae.errors import InputError
from spae.plugins import PluginFault, check_members, is_ours
from spae.tokenizers.protocol import Tokenizer
from spae.tokens import ImageTokens


def checked_tokenizer(tokenizer: Tokenizer, spec: str) -> Tokenizer:
    """The same tokenizer, if it is one of this project's; else one that checks what it returns.

    Raises:
        InputError: it lacks a part of the protocol, or states a name, depth or size that cannot be one.
    """
    if is_ours(tokenizer):
        return tokenizer
    try:
        check_members(tokenizer, Tokenizer)
    except PluginFault as fault:
        raise InputError(f"tokenizer {spec!r} cannot be used: {fault}") from fault
    for name, kind in (("name", str), ("fingerprint", str), ("depth", int), ("image_size", int)):
        value = getattr(tokenizer, name)
        if not isinstance(value, kind) or not value or (isinstance(value, int) and value < 1):
            rule = "a text" if kind is str else "a whole number from 1"
            raise InputError(f"tokenizer {spec!r} cannot be used: its {name} must be {rule}, got {value!r:.60}")
    return _Checked(tokenizer, spec)


class _Checked:
    """A tokenizer whose results are checked before anything is made of them.

    Args:
        tokenizer: of another package.
        spec: as the user named it.
    """

    def __init__(self, tokenizer: Tokenizer, spec: str) -> None:
        self._tokenizer = tokenizer
        self._spec = spec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, images: Sequence[np.ndarray], depth: int | None = None) -> list[ImageTokens]:
        """As `Tokenizer.encode`. Raises InputError for anything but one `ImageTokens` an image."""
        found = self._tokenizer.encode(images, depth)
        self._check("encode", found, len(images), ImageTokens)
        least = depth or self._tokenizer.depth
        shallow = next((len(one.ids) for one in found if len(one.ids) < least), None)
        if shallow is not None:
            self._refuse("encode", f"{least} layers", f"{shallow}")
        return found

    def decode(self, tokens: Sequence[ImageTokens], layers: Sequence[int] | None = None) -> list[np.ndarray]:
        """As `Tokenizer.decode`. Raises InputError for anything but one image for each."""
        found = self._tokenizer.decode(tokens, layers)
        self._check("decode", found, len(tokens), np.ndarray)
        for one in found:
            self._check_pixels("decode", one)
        return found

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """As `Tokenizer.prepare`. Raises InputError for anything but an image."""
        found = self._tokenizer.prepare(image)
        self._check_pixels("prepare", found)
        return found

    def _check(self, method: str, found: object, count: int, kind: type) -> None:
        if not isinstance(found, (list, tuple)):
            self._refuse(method, f"a list of {count} {kind.__name__}", f"a {type(found).__name__}")
        elif len(found) != count or not all(isinstance(one, kind) for one in found):
            kinds = ", ".join(dict.fromkeys(type(one).__name__ for one in found))
            self._refuse(method, f"a list of {count} {kind.__name__}", f"{len(found)} ({kinds})")

    def _check_pixels(self, method: str, found: object) -> None:
        if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3:
            shape = f" {found.dtype} {found.shape}" if isinstance(found, np.ndarray) else ""
            self._refuse(method, "images [H, W, 3] uint8", f"{type(found).__name__}{shape}")

    def _refuse(self, method: str, rule: str, got: str) -> None:
        raise InputError(
            f"{method} of tokenizer {self._spec!r} must return {rule}, got {got:.80}: mend or uninstall the package "
            "that adds it"
        )
