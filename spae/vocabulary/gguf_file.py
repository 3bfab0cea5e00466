"""Pieces and input embeddings of a language model in one GGUF file.

V0 pieces, C width.

The header is walked here: `gguf.GGUFReader` makes an array of every string and takes ten seconds for 49,152 pieces.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spae.errors import WeightsError

EMBEDDINGS, PIECES, ALIGNMENT = "token_embd.weight", "tokenizer.ggml.tokens", "general.alignment"
# Bytes of the types of the format's fixed-size values; strings and arrays carry their length.
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
VERSIONS = (2, 3)


def read_gguf(file: Path) -> tuple[list[str], Tensor]:
    """The V0 pieces by id, and their embeddings [V0, C] float32, dequantized.

    Raises:
        WeightsError: the file is not the GGUF of a language model.
    """
    from gguf import GGMLQuantizationType, dequantize
    from gguf.quants import quant_shape_to_byte_shape

    try:
        data = np.memmap(file, mode="r")
        header = _Header(data.data)
        pieces = header.pieces
        if pieces is None:
            raise ValueError(f"no {PIECES}")
        kind = GGMLQuantizationType(header.kind)
        if kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
            values = np.dtype(np.float32 if kind == GGMLQuantizationType.F32 else np.float16)
            shape, size = header.shape, values.itemsize
        else:
            values = np.dtype(np.uint8)
            shape, size = tuple(quant_shape_to_byte_shape(header.shape, kind)), 1
        count = int(np.prod(shape, dtype=object)) * size
        if header.start + count > len(data):
            raise ValueError(f"{EMBEDDINGS} ends after the file")
        stored = np.asarray(data[header.start : header.start + count]).view(values).reshape(shape)
        matrix = dequantize(stored, kind)
    except (OSError, ValueError, KeyError, IndexError, struct.error, NotImplementedError, OverflowError) as error:
        reason = " ".join(str(error).split())[:160] or f"no {EMBEDDINGS}"
        raise WeightsError(f"{file.name} is not the GGUF file of a language model ({reason}): name another") from error
    return pieces, torch.from_numpy(matrix.astype(np.float32))


class _Header:
    """What a header says of pieces and embeddings.

    Attributes:
        pieces: None where the file has none.
        shape, kind, start: of the embeddings: [V0, C], the number of their quantization, their first byte.

    Raises:
        ValueError, struct.error: it is not a header, or lacks the embeddings.
    """

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0
        if bytes(data[:4]) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._at = 4
        version = self._number("<I")
        if version not in VERSIONS:
            raise ValueError(f"version {version} is not one of {VERSIONS}")
        tensors, values = self._number("<Q"), self._number("<Q")
        self.pieces: list[str] | None = None
        alignment = 32
        for _ in range(values):
            key, kind = self._string(), self._number("<I")
            if key == PIECES:
                self.pieces = self._strings(kind)
            elif key == ALIGNMENT and kind == 4:
                alignment = self._number("<I")
            else:
                self._skip(kind)
        found: tuple[tuple[int, ...], int, int] | None = None
        for _ in range(tensors):
            name, dimensions = self._string(), self._number("<I")
            if dimensions > 4:
                raise ValueError(f"a tensor of {dimensions} dimensions")
            shape = tuple(self._number("<Q") for _ in range(dimensions))[::-1]
            kind, offset = self._number("<I"), self._number("<Q")
            if name == EMBEDDINGS:
                found = (shape, kind, offset)
        if found is None or len(found[0]) != 2:
            raise ValueError(f"no {EMBEDDINGS} of two dimensions")
        if alignment < 1:
            raise ValueError(f"an alignment of {alignment}")
        self.shape, self.kind, offset = found
        self.start = self._at + -self._at % alignment + offset

    def _number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return int(value)

    def _advance(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            raise ValueError("it is cut short")
        part = self._data[self._at : self._at + count]
        self._at += count
        return part

    def _string(self) -> str:
        return bytes(self._advance(self._number("<Q"))).decode("utf-8")

    def _strings(self, kind: int) -> list[str]:
        if kind != ARRAY or self._number("<I") != STRING:
            raise ValueError(f"{PIECES} is not a list of strings")
        return [self._string() for _ in range(self._number("<Q"))]

    def _skip(self, kind: int) -> None:
        if kind == STRING:
            self._advance(self._number("<Q"))
        elif kind == ARRAY:
            item, count = self._number("<I"), self._number("<Q")
            if item == STRING:
                for _ in range(count):
                    self._advance(self._number("<Q"))
            elif item in SIZES:
                self._advance(SIZES[item] * count)
            else:
                raise ValueError(f"an array of type {item}")
        elif kind in SIZES:
            self._advance(SIZES[kind])
        else:
            raise ValueError(f"a value of type {kind}")
