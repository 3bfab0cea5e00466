"""Broken model folders: each is one line that names the folder, before anything is built from it."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.round_trip import measure_names
from llm_backends.errors import BackendUnavailable
from llm_backends.local.folder import FolderSource, stated_context_length
from llm_backends.protocol import CompletionRequest, LikelihoodRequest
from llm_backends.registry import open_backend

Edit = Callable[[Path], object]
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def config(**fields: object) -> Edit:
    return lambda folder: edit(folder / "config.json", lambda found: found | fields)


def tokenizer(change: Callable[[dict[str, Any]], object]) -> Edit:
    return lambda folder: edit(folder / "tokenizer.json", lambda found: change(found) and found)


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def content(name: str, what: str | bytes) -> Edit:
    return lambda folder: (folder / name).write_bytes(what.encode() if isinstance(what, str) else what)


def cut(name: str, size: int) -> Edit:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def sharded(index: object) -> Edit:
    def change(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / "part.safetensors")
        (folder / INDEX).write_text(json.dumps(index))

    return change


def far_ids(found: dict[str, Any]) -> dict[str, Any]:
    found["model"]["vocab"] = {piece: i + 10**6 for piece, i in found["model"]["vocab"].items()}
    return found


BROKEN: dict[str, Edit] = {
    "truncated weights": cut(WEIGHTS, 9000),
    "no whole header": cut(WEIGHTS, 100),
    "empty weights": cut(WEIGHTS, 0),
    "garbage weights": content(WEIGHTS, os.urandom(4000)),
    "a header of 2^62 bytes": content(WEIGHTS, struct.pack("<Q", 2**62) + b"{}"),
    "a header that is no JSON": content(WEIGHTS, struct.pack("<Q", 8) + b"not json"),
    "zero heads": config(num_attention_heads=0),
    "negative heads": config(num_key_value_heads=-2),
    "zero layers": config(num_hidden_layers=0),
    "negative layers": config(num_hidden_layers=-1),
    "100,000 layers": config(num_hidden_layers=100_000),
    "more layers than weights": config(num_hidden_layers=4),
    "an endless width": config(hidden_size=10**9),
    "an endless vocabulary": config(vocab_size=10**12),
    "no width": config(hidden_size=0),
    "a width in words": config(hidden_size="wide"),
    "layers of null": config(num_hidden_layers=None),
    "unknown architecture": config(model_type="nope"),
    "model_type is a list": config(model_type=[1]),
    "text_config is a list": config(text_config=[1]),
    "rope_parameters is a list": config(rope_parameters=[1]),
    "unknown rope": config(rope_parameters={"rope_type": "nope"}),
    "quantized by nobody": config(quantization_config=3),
    "config is a list": content("config.json", "[1, 2]"),
    "config is null": content("config.json", "null"),
    "config is cut": cut("config.json", 20),
    "config is nested 100,000 deep": content("config.json", "[" * 100_000 + "]" * 100_000),
    "config is not UTF-8": content("config.json", b"\xff\xfe\x00"),
    "generation config is a list": content("generation_config.json", "[]"),
    "index is a list": sharded([]),
    "index of null": sharded({"metadata": {}, "weight_map": None}),
    "index of a missing file": sharded({"weight_map": {"model.embed_tokens.weight": "gone.safetensors"}}),
    "index that leaves the folder": sharded({"weight_map": {"model.embed_tokens.weight": f"../base/{WEIGHTS}"}}),
    "tokenizer is a list": content("tokenizer.json", "[]"),
    "tokenizer is null": content("tokenizer.json", "null"),
    "tokenizer is cut": cut("tokenizer.json", 300),
    "tokenizer of null fields": tokenizer(lambda found: found.update(model=None) or found),
    "tokenizer with null for its words": tokenizer(lambda found: found["model"].update(vocab=None) or found),
    "tokenizer of another model": tokenizer(far_ids),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_broken_folder_is_one_line(tiny_llama: Path, tmp_path: Path, change: Edit) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_llama, folder)
    shutil.copytree(tiny_llama, tmp_path / "base")
    change(folder)
    with pytest.raises(BackendUnavailable) as raised:
        open_backend(f"hf:{folder}").complete([CompletionRequest(prompt="This is", max_new_tokens=1)])
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600
    if "tokenizer" not in str(raised.value):  # a round trip asks for no logits, so it meets no token of another model
        with pytest.raises(BackendUnavailable):
            measure_names(f"hf:{folder}", "smollm2")


def test_weights_beyond_the_configuration_are_named(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "shortened"
    shutil.copytree(tiny_llama, folder)
    config(num_hidden_layers=1)(folder)
    open_backend(f"hf:{folder}").complete([CompletionRequest(prompt="This is", max_new_tokens=1)])
    (said,) = [record.getMessage() for record in caplog.records]
    assert "9 tensors are no part of the model" in said and "model.layers.1." in said


@pytest.mark.parametrize("inner", [None, {}, {"max_position_embeddings": None}])
def test_a_null_in_the_configuration_is_as_if_it_were_not_there(tmp_path: Path, inner: object) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"text_config": inner}))
    assert stated_context_length(tmp_path / "config.json") is None


def save_bert(folder: Path, *, is_decoder: bool) -> Path:
    import torch
    from transformers import BertConfig, BertLMHeadModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertLMHeadModel(BertConfig(vocab_size=340, is_decoder=is_decoder, **sizes)).save_pretrained(folder)
    return folder


def test_an_encoder_is_refused(plain_tokenizer_folder: Path) -> None:
    folder = save_bert(plain_tokenizer_folder, is_decoder=False)
    requests = [
        CompletionRequest(prompt="This is", max_new_tokens=1),
        LikelihoodRequest(context="This is", continuations=(" a",)),
    ]
    for request in requests:
        with pytest.raises(BackendUnavailable, match=r"BertLMHeadModel.*later tokens change.*name a causal"):
            list(open_backend(f"hf:{folder}").stream([request]))  # type: ignore[attr-defined]
    with pytest.raises(BackendUnavailable, match="later tokens change"):
        measure_names(f"hf:{folder}", "smollm2")


def test_the_same_network_is_taken_as_a_decoder(plain_tokenizer_folder: Path) -> None:
    folder = save_bert(plain_tokenizer_folder, is_decoder=True)
    assert FolderSource(folder, "float32").context_length == 512
    assert open_backend(f"hf:{folder}").complete([CompletionRequest(prompt="This is", max_new_tokens=1)])
