"""The vocabulary of a masked language model: LQAE's codebook (arXiv 2302.00902) is RoBERTa-base's. C = 768."""

from __future__ import annotations

from pathlib import Path

from spae.vocabulary.causal_lm import folder_vocabulary
from spae.vocabulary.filters import WordFilter
from spae.vocabulary.lexical import LexicalVocabulary

# LQAE uses all pieces. Here those inside words are left out: between spaces, a language model would not read them back
# as the same pieces.
ALL_WORDS = WordFilter(whole_words=False, scripts=None, blocked=frozenset())


def masked_lm_vocabulary(
    model: str | Path, keep: WordFilter | None = None, revision: str | None = None
) -> LexicalVocabulary:
    """T from a masked language model.

    Args:
        model: a folder saved by transformers, or a name on the Hugging Face hub ("FacebookAI/roberta-base"). Weights
            must be safetensors.
        keep: which words are kept; all pieces that start a word by default.
        revision: of a model on the hub.

    Raises:
        InputError: the text tokenizer marks no spaces, or no word is left.
        WeightsError: no such model here or on the hub, or no readable embeddings.
    """
    return folder_vocabulary(model, keep or ALL_WORDS, revision, "AutoModelForMaskedLM")
