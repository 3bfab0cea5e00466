"""Vocabularies by name."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from spae.errors import InputError, UnknownName
from spae.vocabulary import VOCABULARIES, LexicalVocabulary, open_vocabulary, saved_vocabulary_path


def test_a_saved_vocabulary_is_opened_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    built = LexicalVocabulary(("sun", "moon"), torch.eye(2), "a test", "ab")
    built.save(saved_vocabulary_path("ada-002"))
    assert open_vocabulary("ada-002").fingerprint == built.fingerprint
    with pytest.raises(UnknownName, match=r"did you mean 'ada-002'\? known: ada-002, smollm2"):
        open_vocabulary("ada-02")


def test_built_in_names_come_first_and_cannot_be_taken(monkeypatch, tiny_words):
    monkeypatch.setitem(VOCABULARIES, "tiny", lambda: tiny_words)
    assert open_vocabulary("tiny") is tiny_words
    for name in ("tiny", "smollm2", "../words", "A b", "", ".hidden", "a/b"):
        with pytest.raises(InputError, match="a vocabulary's name"):
            saved_vocabulary_path(name)


def test_importing_spae_imports_none_of_the_large_libraries():
    code = (
        "import sys, spae, spae.vocabulary, spae.losses.perceptual, spae.losses.adversarial, spae.losses.semantic, "
        "spae.semantics.clip, spae.networks.discriminators, spae.vocabulary.embeddings_endpoint, "
        "spae.vocabulary.causal_lm, spae.vocabulary.sentencepiece_file\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=900)
    found = {name.partition(".")[0] for name in done.stdout.split()}
    heavy = {"open_clip", "lpips", "torchvision", "timm", "transformers", "openai", "tiktoken", "sentencepiece", "gguf"}
    assert done.returncode == 0 and "spae" in found and not found & heavy, done.stderr
