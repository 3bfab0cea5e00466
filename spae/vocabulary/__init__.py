"""Words that images are encoded as: subsets T of language models' vocabularies, with their embeddings."""

from spae.vocabulary.filters import WordFilter, blocked_words, read_block_list
from spae.vocabulary.lexical import LexicalVocabulary
from spae.vocabulary.pieces import BPE_SPACE, WHOLE_WORD, whole_words
from spae.vocabulary.registry import VOCABULARIES, open_vocabulary, saved_vocabulary_path
from spae.vocabulary.smollm2 import SMOLLM2_FILE, SMOLLM2_SHA256, smollm2_vocabulary

__all__ = [
    "BPE_SPACE",
    "SMOLLM2_FILE",
    "SMOLLM2_SHA256",
    "VOCABULARIES",
    "WHOLE_WORD",
    "LexicalVocabulary",
    "WordFilter",
    "blocked_words",
    "open_vocabulary",
    "read_block_list",
    "saved_vocabulary_path",
    "smollm2_vocabulary",
    "whole_words",
]
