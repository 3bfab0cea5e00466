"""The vocabulary of a saved model: the one in its folder, else the one that its configuration names.

A saved folder includes a vocabulary that others could not open by name (`vocabulary.safetensors` and
`vocabulary.json`). Its hash is checked against config.json.
"""

from __future__ import annotations

from pathlib import Path

from spae.errors import UnknownName, WeightsError
from spae.tokenizers.config import SavedConfig
from spae.vocabulary import LexicalVocabulary, open_vocabulary

VOCABULARY_FILE = "vocabulary.safetensors"


def model_vocabulary(folder: Path, config: SavedConfig) -> LexicalVocabulary:
    """The vocabulary that the model in `folder` was trained with.

    Args:
        config: the folder's.

    Raises:
        WeightsError: neither in the folder nor a known name, its source is missing, or its hash differs.
    """
    beside = folder / VOCABULARY_FILE
    if beside.exists():
        vocabulary, fix = LexicalVocabulary.load(beside), "fetch or save the model again"
    else:
        try:
            vocabulary = open_vocabulary(config.vocabulary)
        except UnknownName as error:
            raise WeightsError(f"{folder}/config.json: {error}") from error
        fix = "install the version of its source that the README pins"
    if vocabulary.fingerprint != config.vocabulary_sha256:
        raise WeightsError(
            f"{folder} was trained with vocabulary {config.vocabulary_sha256[:12]}, "
            f"this is {vocabulary.fingerprint[:12]}: {fix}"
        )
    return vocabulary
