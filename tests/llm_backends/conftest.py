"""Tiny random models of a few thousand weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_backends.cache.response_cache import ReplyCache

CORPUS = [
    "Input: lion cat vase truck\nOutput: lion\n###\n",
    "For each of the following input output pairs, output is one of ['lion', 'vase']\n###\n",
    "Answer with lion or vase. This is a lion. This is a vase. What is this? This is a truck\n",
] * 4


def save_tokenizer(folder: Path, *, lead: bool = False) -> None:
    """A byte-level BPE tokenizer with two special tokens; `lead` makes it begin every text with one of them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=["<|end|>", "<|start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if lead:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|start|> $A <|end|>", special_tokens=[("<|start|>", 1), ("<|end|>", 0)]
        )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def save_llama(folder: Path, *, sliding_window: int | None = None) -> Path:
    """A random two-layer Llama (or Mistral, with a sliding window) beside its tokenizer, 256 tokens of context."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

    save_tokenizer(folder)
    sizes = {
        "vocab_size": 340,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.35,  # wide, so that the random model has clear preferences
        "bos_token_id": 1,
        "eos_token_id": 0,
        "tie_word_embeddings": True,
    }
    torch.manual_seed(7)
    if sliding_window is None:
        model = LlamaForCausalLM(LlamaConfig(**sizes))
    else:
        model = MistralForCausalLM(MistralConfig(**sizes, sliding_window=sliding_window))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Llama."""
    return save_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_sliding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Mistral whose attention reaches 8 tokens back."""
    return save_llama(tmp_path_factory.mktemp("models") / "tiny-mistral", sliding_window=8)


@pytest.fixture
def plain_tokenizer_folder(tmp_path: Path) -> Path:
    """Folder of a tokenizer that adds no special tokens."""
    save_tokenizer(tmp_path / "plain")
    return tmp_path / "plain"


@pytest.fixture
def marking_tokenizer_folder(tmp_path: Path) -> Path:
    """Folder of a tokenizer that puts <|start|> (id 1) before a text and <|end|> (id 0) after it."""
    save_tokenizer(tmp_path / "marking", lead=True)
    return tmp_path / "marking"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReplyCache]:
    made = ReplyCache(tmp_path / "replies.sqlite")
    yield made
    made.close()
