"""Weights that are no numbers, not finite, or in a damaged file: every reader refuses them in one line."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from spae.errors import WeightsError
from spae.tokenizers.init_weights import load_init_weights
from spae.tokenizers.registry import open_tokenizer
from spae.vocabulary import LexicalVocabulary
from spae.weights_file import read_weights

Tensors = dict[str, torch.Tensor]


def header(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


FILES = {
    "empty": b"",
    "garbage": os.urandom(4000),
    "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "header of 2^60 bytes": struct.pack("<Q", 2**60) + b"{}",
    "header nested 100,000 deep": header("[" * 100_000 + "]" * 100_000),
    "header is null": header("null"),
    "header of null fields": header(json.dumps({"a": None})),
    "metadata of null": header(json.dumps({"__metadata__": {"a": None}})),
    "endless shape": header(json.dumps({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 0]}})),
    "negative shape": header(json.dumps({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}})),
    "offsets beyond the file": header(json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}})),
    "unknown type": header(json.dumps({"a": {"dtype": "X9", "shape": [0], "data_offsets": [0, 0]}})),
}
VALUES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "not a number": lambda value: value.float() * float("nan"),
    "infinite": lambda value: torch.full_like(value.float(), float("-inf")),
    "integers": lambda value: value.long(),
    "booleans": lambda value: value > 0,
    "complex": lambda value: value.to(torch.complex64),
    "eight bits": lambda value: value.to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ValueError) as raised:
        read_weights(tmp_path / "x.safetensors")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("change", VALUES.values(), ids=VALUES)
def test_weights_of_a_tokenizer_that_are_no_weights(
    tiny_folder: Path, tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_folder, folder)
    tensors = load_file(folder / "model.safetensors")
    name = max(tensors, key=lambda key: tensors[key].numel())
    save_file(tensors | {name: change(tensors[name])}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=f"{name} (is of|holds numbers)") as raised:
        open_tokenizer(str(folder)).encode([np.zeros((8, 8, 3), np.uint8)])
    assert "\n" not in str(raised.value)


def test_weights_to_start_from_are_read_in_the_same_way(tiny_folder: Path, tmp_path: Path) -> None:
    from spae.tokenizers.build import load_model
    from spae.tokenizers.model_folder import load_config
    from spae.tokenizers.own_vocabulary import model_vocabulary

    model = load_model(tiny_folder)
    file = tmp_path / "step-000001.safetensors"
    save_file({"ema/a": torch.tensor([float("nan")]), "optimizer/b": torch.ones(1, dtype=torch.int64)}, file)
    with pytest.raises(WeightsError, match="ema/a holds numbers that are not finite"):
        load_init_weights(model, model_vocabulary(tiny_folder, load_config(tiny_folder)), str(file))


def test_half_precision_is_read_as_it_is(tmp_path: Path) -> None:
    saved: Tensors = {
        "a": torch.tensor([0.5, -2.0], dtype=torch.float16),
        "b": torch.tensor([3.0], dtype=torch.bfloat16),
    }
    save_file(saved, tmp_path / "x.safetensors")
    found = read_weights(tmp_path / "x.safetensors")
    assert {name: value.tolist() for name, value in found.items()} == {"a": [0.5, -2.0], "b": [3.0]}
    assert {value.dtype for value in found.values()} == {torch.float32}


@pytest.mark.parametrize("field", ["words", "source", "join", "tokens", "format", "fingerprint"])
def test_null_fields_of_a_vocabulary(tmp_path: Path, field: str) -> None:
    path = tmp_path / "v.safetensors"
    LexicalVocabulary(("lion", "vase"), torch.ones(2, 3), "a test", "0" * 64, tokens=(1, 2)).save(path)
    saved = json.loads(path.with_suffix(".json").read_text())
    changed = {"words": ["lion", None], "tokens": [None, "x"]}.get(field)
    path.with_suffix(".json").write_text(json.dumps(saved | {field: changed}))
    with pytest.raises(WeightsError) as raised:
        LexicalVocabulary.load(path)
    assert "\n" not in str(raised.value)


def test_embeddings_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    vocabulary = LexicalVocabulary(("lion", "vase"), torch.ones(2, 3), "a test", "0" * 64)
    vocabulary.save(path)
    save_file({"embeddings": torch.full((2, 3), float("nan"))}, path, {"fingerprint": vocabulary.fingerprint})
    with pytest.raises(WeightsError, match="finite"):
        LexicalVocabulary.load(path)
