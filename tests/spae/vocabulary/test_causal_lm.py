"""Vocabularies of a tiny random GPT-2, in every form that weights come in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spae.canonical import sha256_file
from spae.errors import InputError, WeightsError
from spae.vocabulary import WordFilter
from spae.vocabulary.causal_lm import build_vocabulary, causal_lm_vocabulary

ALL = WordFilter(blocked=frozenset(), scripts=None)


def reference(folder: Path) -> tuple[dict[str, int], torch.Tensor]:
    """Words by decoding each token behind another, and the embeddings of the whole model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    first = tokenizer.encode("x")
    start = tokenizer.decode(first)
    words = {}
    for token in range(len(tokenizer)):
        text = tokenizer.decode([*first, token])[len(start) :]
        if text.startswith(" ") and len(text) > 3 and text[1:].isalpha() and text.islower():
            words[text[1:]] = token
    return words, AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight.detach()


def test_words_and_rows_are_the_model_s(tiny_lm):
    words, matrix = reference(tiny_lm)
    built = causal_lm_vocabulary(tiny_lm, ALL)
    assert dict(zip(built.words, built.tokens, strict=True)) == words and {"lion", "the", "café", "река"} <= set(words)
    assert list(built.tokens) == sorted(built.tokens)
    assert built.embeddings.equal(matrix[list(built.tokens)]) and built.embeddings.shape[1] == 8
    assert built.source == "tiny-lm input embeddings", "no folder of this machine"
    assert built.source_sha256 == sha256_file(tiny_lm / "model.safetensors")
    assert built.filters == ALL.describe()
    assert built.split(built.join.join(built.words)) == list(range(len(built)))


def test_the_rate_is_measured_with_the_model_s_tokenizer(tiny_lm):
    from transformers import AutoTokenizer

    built = causal_lm_vocabulary(tiny_lm, ALL)
    tokenizer = AutoTokenizer.from_pretrained(tiny_lm)
    text = "Input: " + " ".join(built.words)
    assert tokenizer.encode(text)[-len(built) :] == list(built.tokens)
    assert built.round_trip_rate == 1.0


def test_filters_choose_words(tiny_lm):
    built = causal_lm_vocabulary(tiny_lm, WordFilter(most_frequent=3))
    whole = causal_lm_vocabulary(tiny_lm, WordFilter())
    assert len(built) == 3 and built.words == whole.words[:3] and "река" not in whole.words
    with pytest.raises(InputError, match="no word is left"):
        causal_lm_vocabulary(tiny_lm, WordFilter(scripts=("Han",)))


@pytest.fixture
def copy(tiny_lm: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_lm, tmp_path / "copy")
    return tmp_path / "copy"


def test_weights_in_several_files(tiny_lm, copy):
    state = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = {key: f"model-0000{1 + (not key.endswith('wte.weight'))}-of-00002.safetensors" for key in state}
    for file in set(names.values()):
        save_file({key: value for key, value in state.items() if names[key] == file}, copy / file)
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    # Only the file with the embeddings is read.
    (copy / "model-00002-of-00002.safetensors").write_bytes(b"")
    built = causal_lm_vocabulary(copy, ALL)
    assert built.embeddings.equal(causal_lm_vocabulary(tiny_lm, ALL).embeddings)


@pytest.mark.parametrize("prefix", ["", "transformer.", "model.transformer."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_names_with_more_or_fewer_leading_parts(tiny_lm, copy, prefix, dtype):
    state = load_file(copy / "model.safetensors")
    renamed = {prefix + key.removeprefix("transformer."): value.to(dtype) for key, value in state.items()}
    save_file(renamed, copy / "model.safetensors")
    expected = causal_lm_vocabulary(tiny_lm, ALL).embeddings.to(dtype).float()
    assert causal_lm_vocabulary(copy, ALL).embeddings.equal(expected)


def test_unusable_weights_are_refused(tiny_lm, copy, tmp_path):
    save_file({"other.weight": torch.zeros(344, 8)}, copy / "model.safetensors")
    with pytest.raises(WeightsError, match=r"no single tensor transformer\.wte\.weight"):
        causal_lm_vocabulary(copy)
    save_file({"wte.weight": torch.zeros(9, 8)}, copy / "model.safetensors")
    with pytest.raises(WeightsError, match=r"pieces need as many embeddings, got \(9, 8\)"):
        causal_lm_vocabulary(copy)
    (copy / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(WeightsError, match="cannot be read"):
        causal_lm_vocabulary(copy)
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match="convert its weights to safetensors or GGUF"):
        causal_lm_vocabulary(copy)
    with pytest.raises(WeightsError, match="there is no file"):
        causal_lm_vocabulary(tmp_path / "none.gguf")


def test_pieces_and_embeddings_must_fit():
    pieces = ["Ġlion", "Ġcat", "Ġdog"]
    with pytest.raises(WeightsError, match=r"3 pieces need as many embeddings, got \(2, 4\)"):
        build_vocabulary(pieces, torch.zeros(2, 4), ALL, "a test", "ab", None)
    with pytest.raises(WeightsError, match="must be finite"):
        build_vocabulary(pieces, torch.full((3, 4), torch.nan), ALL, "a test", "ab", None)
    assert build_vocabulary(pieces, torch.zeros(3, 4), ALL, "a test", "ab", None).round_trip_rate is None


def test_a_name_on_the_hub_is_fetched_in_small_files_first(tiny_lm, monkeypatch):
    import huggingface_hub

    asked = []

    def snapshot(name, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(tiny_lm)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    built = causal_lm_vocabulary("someone/tiny", ALL, revision="abc")
    assert built.source == "someone/tiny input embeddings"
    assert [one[:2] for one in asked] == [("someone/tiny", "abc")] * 2
    assert "model.safetensors" not in asked[0][2] and asked[1][2] == ["model.safetensors"]

    def far(*_, **__):
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", far)
    with pytest.raises(WeightsError, match="there is no folder someone/tiny here") as caught:
        causal_lm_vocabulary("someone/tiny")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_a_gguf_file(tmp_path, kind):
    import gguf
    import numpy as np

    kinds = gguf.GGMLQuantizationType
    matrix = np.random.default_rng(0).standard_normal((4, 32)).astype(np.float32)
    stored = matrix if kind == "F32" else gguf.quantize(matrix, kinds.Q8_0)
    writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<s>", "Ġlion", "lion", "Ġriver"])
    writer.add_tensor("token_embd.weight", stored, raw_dtype=None if kind == "F32" else kinds.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    built = causal_lm_vocabulary(tmp_path / "tiny.gguf")
    assert (built.words, built.tokens) == (("lion", "river"), (1, 3)) and built.source == "tiny input embeddings"
    torch.testing.assert_close(built.embeddings, torch.from_numpy(matrix[[1, 3]]), atol=0.02, rtol=0)
    assert built.round_trip_rate is None, "the file holds no whole tokenizer"
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and no more of it, but long enough to be looked into")
    with pytest.raises(WeightsError, match=r"broken\.gguf is not the GGUF file of a language model"):
        causal_lm_vocabulary(tmp_path / "broken.gguf")
