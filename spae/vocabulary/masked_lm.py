"""The vocabulary of a masked language model: LQAE's codebook (arXiv 2302.00902) is RoBERTa-base's. C = 768."""

from __future__ import annotations

from pathlib import Path

from spae.vocabulary.causal_lm import folder_vocabulary
from spae.vocabulary.filters import WordFilter
from spae.vocabulary.lexical import LexicalVocabulary

# LQAE leaves no piece out. What starts no word is left out here all the same: such a piece could not be shown to a
# language model between spaces and found again.
ALL_WORDS = WordFilter(whole_words=False, scripts=None, blocked=frozenset())


def masked_lm_vocabulary(
    model: str | Path, keep: WordFilter | None = None, revision: str | None = None
) -> LexicalVocabulary:
    """T from a masked language model.

    Args:
        model: a folder as transformers saves it, or a name on the Hugging Face hub ("FacebookAI/roberta-base"). Weights
            must be safetensors.
        keep: which words stay; all pieces that start a word by default.
        revision: of a name on the hub.

    Raises:
        InputError: the tokenizer marks no spaces, or no word is left.
        WeightsError: there is no such model here or on the hub, or it has no readable embeddings.
    """
    return folder_vocabulary(model, keep or ALL_WORDS, revision, "AutoModelForMaskedLM")
