"""SmolLM2's words with MiniLM's features."""

from __future__ import annotations

import pytest
import torch

from spae.semantics.label_text import text_features
from spae.vocabulary import open_vocabulary


@pytest.mark.slow
def test_words_are_smollm2_s_and_embeddings_minilm_s():
    built, words = open_vocabulary("smollm2-minilm"), open_vocabulary("smollm2")
    assert built.words == words.words and built.tokens == words.tokens and built.fingerprint != words.fingerprint
    assert built.embeddings.shape == (len(words), 384)
    torch.testing.assert_close(built.embeddings.norm(dim=1), torch.ones(len(built)))
    some = [built.index[word] for word in ("lion", "tiger", "economy")]
    features = text_features(["lion", "tiger", "economy"])
    torch.testing.assert_close(built.embeddings[some], features, atol=1e-4, rtol=0)
    assert features[0] @ features[1] > features[0] @ features[2]
