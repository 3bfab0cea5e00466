"""A vocabulary from a sentencepiece model and a matrix of embeddings, for models without a folder or GGUF file.

The paper's SPAE_PaLM is of this kind. V0 pieces, C width.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from spae.canonical import sha256_file
from spae.errors import InputError, WeightsError
from spae.regular_file import check_regular
from spae.vocabulary.causal_lm import build_vocabulary
from spae.vocabulary.filters import WordFilter
from spae.vocabulary.lexical import LexicalVocabulary


def sentencepiece_vocabulary(
    model: Path, matrix: Path, keep: WordFilter | None = None, tensor: str | None = None
) -> LexicalVocabulary:
    """T from two files.

    Args:
        model: of sentencepiece (.model).
        matrix: [V0 or more, C], row i the embedding of piece i: .npy, or .safetensors.
        keep: which words are kept; WordFilter() by default.
        tensor: name in a .safetensors file that holds more than one.

    Raises:
        InputError: no word is left, or `tensor` is needed or unknown.
        WeightsError: a file cannot be read, the two do not match, or sentencepiece is not installed.
    """
    try:
        import sentencepiece
    except ModuleNotFoundError:
        raise WeightsError("sentencepiece is not installed: run pip install 'spae-bench[vocabularies]'") from None
    if not model.is_file():
        raise WeightsError(f"there is no sentencepiece model {model}: name its .model file")
    try:
        processor: Any = sentencepiece.SentencePieceProcessor(model_file=str(model))
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"{model.name} is not a sentencepiece model: name its .model file") from error
    pieces = [
        "" if processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i) or processor.is_byte(i)
        else processor.id_to_piece(i)
        for i in range(processor.get_piece_size())
    ]  # fmt: skip
    both = hashlib.sha256((sha256_file(model) + sha256_file(matrix)).encode()) if matrix.is_file() else hashlib.sha256()
    source = f"{model.name} with the embeddings of {matrix.name}"
    return build_vocabulary(
        pieces,
        _read_matrix(matrix, tensor),
        keep or WordFilter(),
        source,
        both.hexdigest(),
        lambda text: list(processor.encode(text)),
    )


def _read_matrix(path: Path, tensor: str | None) -> Tensor:
    try:
        check_regular(path)
        if path.suffix == ".npy":
            found: np.ndarray = np.load(path, allow_pickle=False)
            return torch.from_numpy(found.astype(np.float32))
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            name = tensor or names[0]
            if name not in names or (tensor is None and len(names) > 1):
                raise InputError(
                    f"{path.name} holds {', '.join(names[:8])}: name the one with the embeddings (--tensor)"
                )
            matrix: Tensor = file.get_tensor(name)
            return matrix.float()
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"{path} is not a matrix ({error}): name an .npy or .safetensors file") from error
