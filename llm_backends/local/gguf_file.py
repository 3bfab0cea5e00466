"""`gguf:FILE`: a causal model from one GGUF file, converted once and run by transformers in fp32.

The weights are those of the file's quantisation; the arithmetic is `--dtype`. `llamacpp:FILE` runs the same file by
llama.cpp's own arithmetic, under another identity.

The header is parsed here: the `gguf` package takes 12 s for a vocabulary of 262,000 words, because it builds an array
for every word; this parser skips arrays.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.local.backend import LocalBackend
from llm_backends.local.conversion import ConvertedSource, Convertible
from llm_backends.local.loading import checked_dtype
from llm_backends.options import NoOptions
from spae.canonical import sha256_file
from spae.regular_file import open_regular

Value = int | float | bool | str
NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
VERSIONS = (2, 3)


@dataclass(frozen=True)
class GgufHeader:
    """The metadata of a GGUF file.

    Attributes:
        values: by key ("general.architecture"); arrays are left out.
        weights: number of weights in all tensors.
    """

    values: Mapping[str, Value]
    weights: int

    @property
    def architecture(self) -> str:
        """As llama.cpp names it: "llama", "gemma3"."""
        return str(self.values.get("general.architecture", "unknown"))

    @property
    def context_length(self) -> int | None:
        """In tokens, as the model was trained; None if unknown."""
        value = self.values.get(f"{self.architecture}.context_length")
        return value if isinstance(value, int) and value > 0 else None

    @property
    def parts(self) -> int:
        """Files that the model is split into; 1 if it is not."""
        value = self.values.get("split.count", 1)
        return value if isinstance(value, int) else 1


def open_gguf(argument: str, *, dtype: str, device: str, options: NoOptions) -> LocalBackend:
    """The backend of a file; its bytes are read once for their sha256, its weights at the first request.

    Raises:
        BackendInputError: the dtype or device is unknown, or the argument is not a whole GGUF file.
    """
    path, header = checked_gguf(argument)
    model = Convertible(
        title=path.stem,
        stem=re.sub(r"[^a-z0-9.-]+", "-", path.stem.lower()).strip("-.")[:60] or "gguf",
        sha256=sha256_file(path),
        find=lambda parts: _readable(path, header),
        fix="the file changed since it was opened: give the command again",
        megabytes=4 * header.weights // 10**6,
        facts={},
    )
    return LocalBackend(ConvertedSource(model, checked_dtype(dtype), header.context_length), device=device)


def checked_gguf(argument: str) -> tuple[Path, GgufHeader]:
    """A file and its header.

    Raises:
        BackendInputError: it is no GGUF file, or one part of several.
    """
    path = Path(os.path.realpath(Path(argument).expanduser()))  # unlike resolve, it takes a link in a circle
    if not path.is_file():
        raise BackendInputError(f"a GGUF file is needed, {argument} is not a file: check the path")
    header = read_header(path)
    if header.parts > 1:
        raise BackendInputError(
            f"one whole GGUF file is needed, {path.name} is one of {header.parts} parts: "
            "join them with llama-gguf-split --merge"
        )
    return path, header


def _readable(path: Path, header: GgufHeader) -> Path:
    """The same path. Raises BackendUnavailable if transformers does not know the architecture."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    known = sorted({str(name) for name in GGUF_SUPPORTED_ARCHITECTURES})
    # Spelled with a dash, an underscore or neither ("qwen2moe").
    plain = {re.sub("[-_]", "", name) for name in known}
    if re.sub("[-_]", "", header.architecture) not in plain:
        raise BackendUnavailable(
            f"transformers reads GGUF files of the architectures {', '.join(known)}; {path.name} is "
            f"{header.architecture!r}: use llamacpp:{path}, or the model's own folder (hf:FOLDER)"
        )
    return path


def read_header(path: Path) -> GgufHeader:
    """Reads the header of a GGUF file of version 2 or 3.

    Raises:
        BackendInputError: there is no such file, it cannot be read, or it is no GGUF file.
    """
    try:
        with open_regular(path) as stream:
            return _Reader(stream, path.stat().st_size).header()
    except OSError as error:
        raise BackendInputError(f"a readable GGUF file is needed, {path}: {error}") from error
    except (ValueError, struct.error, RecursionError) as error:
        raise BackendInputError(
            f"a whole GGUF file of version 2 or 3 is needed, {path} is not ({error}): fetch it again"
        ) from error


class _Reader:
    """Parses a header from its first byte. Every length is checked against the file's size."""

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
            self._skip(12)  # type and offset
        return GgufHeader(values, weights)

    def _value(self, kind: int) -> Value | None:
        """The value of a key; None for an array, which is skipped."""
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
            raise ValueError("a length in its header exceeds the file")
        return length

    def _number(self, form: str) -> int:
        """One number, of the type that `form` names."""
        found: int = struct.unpack(form, self._stream.read(struct.calcsize(form)))[0]
        return found

    def _skip(self, count: int) -> None:
        if self._stream.seek(count, 1) > self._size:
            raise ValueError("it ends within its header")
