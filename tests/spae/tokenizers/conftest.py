"""A tiny random RoBERTa, saved as transformers saves it, and an LQAE on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spae.cache_folder import cache_folder
from spae.network_presets import VITS, VitPlan
from spae.tokenizers.build import build_model, saved_config
from spae.tokenizers.config import SavedConfig
from spae.tokenizers.lqae import LqaeModel
from spae.vocabulary import LexicalVocabulary, saved_vocabulary_path
from spae.vocabulary.masked_lm import masked_lm_vocabulary
from tests.spae.conftest import tiny_recipe

TEXT = ["the lion and the lions sleep near the river bank", "a cat in the tree", "the truck sleeps"] * 20
SPECIAL = {
    "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>",
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, 16 wide, a byte-level BPE of 340 pieces, places for 40 tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    folder = tmp_path_factory.mktemp("lm") / "tiny-roberta"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL).save_pretrained(folder)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=344, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=42, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    model = RobertaForMaskedLM(config)
    # At its own start all hidden states are nearly one: wider weights, so that words differ in what they do.
    for weight in model.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def roberta_words(tiny_roberta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LexicalVocabulary:
    """Its words, saved as `tiny-roberta` in a cache folder of this test."""
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    words = masked_lm_vocabulary(tiny_roberta)
    words.save(saved_vocabulary_path("tiny-roberta"))
    return words


@pytest.fixture
def lqae_config(
    tiny_roberta: Path, roberta_words: LexicalVocabulary, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., SavedConfig]:
    """The configuration of a tiny LQAE, some of it set anew."""
    monkeypatch.setitem(VITS, "picto-lqae", VitPlan(size=32, patch=8, features=24, layers=1, heads=2, hidden=48))
    values = {
        "name": "lqae", "quantizer": "vq", "codebook": "frozen", "l2_normalize": True, "pyramid": (4,),
        "network": "picto-lqae", "vocabulary": "tiny-roberta", "masked_lm": "roberta",
        "masked_lm_source": str(tiny_roberta),
    }  # fmt: skip

    def config(**changed: Any) -> SavedConfig:
        recipe = tiny_recipe(**(values | changed))
        return saved_config(recipe.name, recipe.model, roberta_words)

    return config


@pytest.fixture
def lqae(lqae_config: Callable[..., SavedConfig], roberta_words: LexicalVocabulary) -> LqaeModel:
    """A random LQAE of 16 words an image."""
    torch.manual_seed(4)
    model = build_model(lqae_config(), roberta_words)
    assert isinstance(model, LqaeModel)
    return model
