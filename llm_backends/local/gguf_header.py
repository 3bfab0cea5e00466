"""What a GGUF file says of itself: single values of its header, and how many weights it has.

The `gguf` package reads the same and takes 12 s of a processor for a vocabulary of 262,000 words, since it makes arrays
of every word; here they are stepped over.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from llm_backends.errors import BackendInputError

Value = int | float | bool | str
NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
VERSIONS = (2, 3)


@dataclass(frozen=True)
class GgufHeader:
    """Facts of a GGUF file.

    Attributes:
        values: by key ("general.architecture"); arrays are left out.
        weights: how many numbers its tensors hold.
    """

    values: Mapping[str, Value]
    weights: int

    @property
    def architecture(self) -> str:
        """As llama.cpp names it: "llama", "gemma3"."""
        return str(self.values.get("general.architecture", "unknown"))

    @property
    def context_length(self) -> int | None:
        """In tokens, as the model was trained; None where the file does not say."""
        value = self.values.get(f"{self.architecture}.context_length")
        return value if isinstance(value, int) and value > 0 else None

    @property
    def parts(self) -> int:
        """Files that the model was split into; 1 for a whole one."""
        value = self.values.get("split.count", 1)
        return value if isinstance(value, int) else 1


def read_header(path: Path) -> GgufHeader:
    """Reads the header of a GGUF file of version 2 or 3.

    Raises:
        BackendInputError: there is no such file, it cannot be read, or it is no GGUF file.
    """
    try:
        with path.open("rb") as stream:
            return _Reader(stream, path.stat().st_size).header()
    except OSError as error:
        raise BackendInputError(f"a readable GGUF file is needed, {path}: {error}") from error
    except (ValueError, struct.error, RecursionError) as error:
        raise BackendInputError(
            f"a whole GGUF file of version 2 or 3 is needed, {path} is none ({error}): fetch it again"
        ) from error


class _Reader:
    """A header from its first byte on. Every length is checked against the file's, whatever the file claims."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size

    def header(self) -> GgufHeader:
        if self._stream.read(4) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        version = self._number("<I")
        if version not in VERSIONS:
            raise ValueError(f"version {version}")
        tensors, count = self._length(), self._length()
        values: dict[str, Value] = {}
        for _ in range(count):
            name = self._text()
            value = self._value(self._number("<I"))
            if value is not None:
                values[name] = value
        weights = 0
        for _ in range(tensors):
            self._text()
            dimensions = self._number("<I")
            if dimensions > 8:
                raise ValueError(f"a tensor of {dimensions} dimensions")
            weights += math.prod(self._number("<Q") for _ in range(dimensions))
            self._skip(12)  # its type and its place
        return GgufHeader(values, weights)

    def _value(self, kind: int) -> Value | None:
        """The value of a key; None for an array, which is stepped over."""
        if kind in NUMBERS:
            return self._number(NUMBERS[kind])
        if kind == STRING:
            return self._text()
        if kind != ARRAY:
            raise ValueError(f"a value of the unknown kind {kind}")
        inner, count = self._number("<I"), self._length()
        if inner in NUMBERS:
            self._skip(struct.calcsize(NUMBERS[inner]) * count)
        else:
            for _ in range(count):
                if inner == STRING:
                    self._skip(self._length())
                else:
                    self._value(inner)
        return None

    def _text(self) -> str:
        length = self._length()
        data = self._stream.read(length)
        if len(data) < length:
            raise ValueError("it ends within its header")
        return data.decode("utf-8", errors="replace")

    def _length(self) -> int:
        length: int = self._number("<Q")
        if length > self._size:
            raise ValueError("it is shorter than it says")
        return length

    def _number(self, form: str) -> int:
        """One number (a float or a bool where the form says so)."""
        found: int = struct.unpack(form, self._stream.read(struct.calcsize(form)))[0]
        return found

    def _skip(self, count: int) -> None:
        if self._stream.seek(count, 1) > self._size:
            raise ValueError("it ends within its header")
