"""`gguf:FILE` against the same weights as a model folder, and files that cannot be used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from gguf import GGUFWriter
from transformers import AutoModelForCausalLM

from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.local.conversion import cache_folder
from llm_backends.local.folder import open_hf
from llm_backends.local.gguf_file import open_gguf
from llm_backends.options import NoOptions
from llm_backends.protocol import CompletionRequest, LikelihoodRequest
from llm_backends.registry import open_backend

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}


def as_gguf(folder: Path, path: Path, architecture: str = "llama") -> Path:
    """A tiny Llama's folder as a GGUF file, written as llama.cpp's converter does: q and k turned pairwise."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = model.config
    tokenizer = json.loads((folder / "tokenizer.json").read_text())["model"]
    writer = GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    words = sorted(tokenizer["vocab"], key=tokenizer["vocab"].__getitem__)
    writer.add_token_list(words)
    writer.add_token_types([3 if word.startswith("<|") else 1 for word in words])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["merges"]])
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_add_bos_token(False)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        if name.startswith("model.layers."):
            number, rest = name.removeprefix("model.layers.").split(".", 1)
            target = f"blk.{number}.{NAMES[rest]}"
        else:
            target = NAMES[name]
        for part, count in heads.items():
            if part in target:
                rows, columns = tensor.shape
                tensor = tensor.view(count, 2, rows // count // 2, columns).swapaxes(1, 2).reshape(rows, columns)
        writer.add_tensor(target, tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tiny_gguf(tiny_llama: Path, tmp_path: Path) -> Path:
    return as_gguf(tiny_llama, tmp_path / "Tiny Llama.F32.gguf")


def test_a_file_replies_as_its_folder_does(
    tiny_gguf: Path, tiny_llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, folder = (
        open_backend(f"gguf:{tiny_gguf}"),
        open_hf(str(tiny_llama), dtype="float32", device="auto", options=NoOptions()),
    )
    assert ours.identity.revision == hashlib.sha256(tiny_gguf.read_bytes()).hexdigest()
    assert (ours.identity.kind, ours.identity.model) == ("transformers", "Tiny Llama.F32")
    assert ours.capabilities == folder.capabilities and ours.capabilities.context_length == 256
    assert not cache_folder().exists(), "known before anything is converted"
    asked = LikelihoodRequest(context="Input: cat\nOutput:", continuations=(" lion\n", " vase\n", " a truck"))
    (found,), (expected,) = ours.loglikelihood([asked]), folder.loglikelihood([asked])
    assert found.values == pytest.approx(expected.values, abs=1e-4)
    prompt = CompletionRequest(prompt="This is a", max_new_tokens=9)
    assert ours.complete([prompt]) == folder.complete([prompt])
    assert "preparing Tiny Llama.F32 once" in capsys.readouterr().err
    (made,) = [path for path in cache_folder().iterdir() if path.is_dir()]
    assert made.name == f"tiny-llama.f32-{ours.identity.revision[:12]}-v1"
    open_gguf(str(tiny_gguf), dtype="float32", device="auto", options=NoOptions()).count_tokens("lion")
    assert "preparing" not in capsys.readouterr().err, "converted twice"


def test_an_unknown_architecture_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    path = as_gguf(tiny_llama, tmp_path / "odd.gguf", architecture="chameleon9")
    with pytest.raises(BackendUnavailable, match=r"llama, .*'chameleon9': use llamacpp:"):
        open_gguf(str(path), dtype="float32", device="auto", options=NoOptions()).count_tokens("lion")


def test_a_broken_file_is_refused(tiny_gguf: Path) -> None:
    tiny_gguf.write_bytes(tiny_gguf.read_bytes()[:-5000])
    with pytest.raises(BackendUnavailable, match=r"Tiny Llama\.F32\.gguf cannot be converted"):
        open_gguf(str(tiny_gguf), dtype="float32", device="auto", options=NoOptions()).count_tokens("lion")


def test_a_file_that_changed_since_opening_is_refused(tiny_gguf: Path) -> None:
    model = open_gguf(str(tiny_gguf), dtype="float32", device="auto", options=NoOptions())
    with tiny_gguf.open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(BackendUnavailable, match="give the command again"):
        model.count_tokens("lion")


def test_files_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendInputError, match="check the path"):
        open_gguf(str(tmp_path / "none.gguf"), dtype="float32", device="auto", options=NoOptions())
    path = tmp_path / "part.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_uint16("split.count", 3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(BackendInputError, match="one of 3 parts: join them"):
        open_gguf(str(path), dtype="float32", device="auto", options=NoOptions())
