"""Pieces and embeddings of GGUF files, against the gguf package's own writer, and files that are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, dequantize, quantize

from spae.errors import WeightsError
from spae.vocabulary.gguf_file import read_gguf

PIECES = ["<s>", "Ġdog", "é", "", "日本"]
MATRIX = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)


def write(
    path: Path, kind: GGMLQuantizationType, pieces: list[str] | None = PIECES, name: str = "token_embd.weight"
) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_uint32("before", 7)
    writer.add_array("numbers", [1.5, 2.5])
    if pieces is not None:
        writer.add_token_list(pieces)
    writer.add_bool("after", True)
    writer.add_tensor("output.weight", np.ones((3, 64), np.float32))
    writer.add_tensor(name, quantize(MATRIX, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_0", "BF16"])
def test_pieces_and_embeddings_come_back(tmp_path: Path, kind: str) -> None:
    quantization = GGMLQuantizationType[kind]
    pieces, matrix = read_gguf(write(tmp_path / "model.gguf", quantization))
    assert pieces == PIECES
    assert torch.equal(matrix, torch.from_numpy(dequantize(quantize(MATRIX, quantization), quantization)))


@pytest.mark.parametrize(
    ("pieces", "name", "said"),
    [
        pytest.param(None, "token_embd.weight", "no tokenizer.ggml.tokens", id="no pieces"),
        pytest.param(PIECES, "other.weight", "no token_embd.weight", id="no embeddings"),
    ],
)
def test_file_of_something_else_is_one_error(tmp_path: Path, pieces: list[str] | None, name: str, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        read_gguf(write(tmp_path / "model.gguf", GGMLQuantizationType.F32, pieces, name))


def test_file_cut_anywhere_is_one_error(tmp_path: Path) -> None:
    whole = write(tmp_path / "model.gguf", GGMLQuantizationType.Q8_0).read_bytes()
    broken = tmp_path / "broken.gguf"
    for length in range(0, len(whole) - 32, 7):  # the last bytes are padding
        broken.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"broken\.gguf is not the GGUF file"):
            read_gguf(broken)


def test_changed_bytes_of_the_header_raise_nothing_else(tmp_path: Path) -> None:
    whole = bytearray(write(tmp_path / "model.gguf", GGMLQuantizationType.Q8_0).read_bytes())
    broken, refused = tmp_path / "broken.gguf", 0
    for place in range(0, 420, 3):
        changed = whole.copy()
        changed[place] ^= 0xFF
        broken.write_bytes(changed)
        try:
            read_gguf(broken)
        except WeightsError:
            refused += 1
    assert refused > 40
