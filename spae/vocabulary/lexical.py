"""The words that images are encoded as, with their embeddings and where both come from.

V words, C width of the embeddings.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spae.atomic import atomic_path
from spae.errors import InputError, ShapeError, WeightsError
from spae.regular_file import MOST_INDEX, check_regular, read_json

FORMAT = 1


@dataclass(frozen=True)
class LexicalVocabulary:
    """Words and their frozen embeddings.

    Attributes:
        words: V distinct words, most frequent first (the order of the model's own ids, in which
            byte-pair merges were learned).
        embeddings: [V, C] float32.
        source: for people ("SmolLM2-135M-Instruct input embeddings").
        source_sha256: of the file that the embeddings were read from.
        join: separator of words in text.
        tokens: V ids of the words after a space, in the source's text tokenizer; None if unknown.
        filters: which of the source's words were kept, as `WordFilter.describe` gives it.
        round_trip_rate: part of the words, in [0, 1], that the source's text tokenizer splits into their own token
            between other words; None if that tokenizer cannot be run.
    """

    words: tuple[str, ...]
    embeddings: Tensor
    source: str
    source_sha256: str
    join: str = " "
    tokens: tuple[int, ...] | None = None
    filters: dict[str, object] = field(default_factory=dict)
    round_trip_rate: float | None = None
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or len(self.words) != len(self.embeddings):
            raise ShapeError(f"{len(self.words)} words need embeddings [V, C], got {tuple(self.embeddings.shape)}")
        if not all(isinstance(word, str) for word in self.words):
            raise InputError(f"words must be texts, got {next(w for w in self.words if not isinstance(w, str))!r:.40}")
        if not bool(self.embeddings.isfinite().all()):
            raise InputError("embeddings of words must be finite: the file is damaged")
        if self.tokens is not None and len(self.tokens) != len(self.words):
            raise ShapeError(f"{len(self.words)} words need as many token ids, got {len(self.tokens)}")
        object.__setattr__(self, "index", {word: i for i, word in enumerate(self.words)})
        if len(self.index) != len(self.words):
            raise InputError(f"words must differ, got {len(self.words) - len(self.index)} repeated: remove them")

    def __len__(self) -> int:
        return len(self.words)

    @property
    def fingerprint(self) -> str:
        """sha256 over words, join and embedding bytes: equal where the same image gives the same words."""
        digest = hashlib.sha256(json.dumps([self.words, self.join]).encode())
        digest.update(np.ascontiguousarray(self.embeddings.numpy()).tobytes())
        return digest.hexdigest()

    def split(self, text: str) -> list[int]:
        """The ids of the words of `text`, the inverse of joining them.

        Raises:
            InputError: a word is not in the vocabulary, or words have no separator.
        """
        if not self.join:
            raise InputError(f"text of {self.source} cannot be split: its words have no separator")
        ids = []
        for word in text.split(self.join) if text else []:
            if word not in self.index:
                raise InputError(f"{word!r} is not one of the {len(self)} words of {self.source}")
            ids.append(self.index[word])
        return ids

    def save(self, path: Path) -> None:
        """Write the embeddings to `path` (.safetensors) and all else to a .json file beside it."""
        fingerprint = self.fingerprint
        with atomic_path(path) as draft:
            save_file({"embeddings": self.embeddings.contiguous()}, draft, {"fingerprint": fingerprint})
        rest = {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "source": self.source,
            "source_sha256": self.source_sha256,
            "join": self.join,
            "filters": self.filters,
            "round_trip_rate": self.round_trip_rate,
            "tokens": self.tokens,
            "words": self.words,
        }
        with atomic_path(path.with_suffix(".json")) as draft:
            draft.write_text(json.dumps(rest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> LexicalVocabulary:
        """Read what `save` wrote. Raises WeightsError."""
        try:
            rest = read_json(path.with_suffix(".json"), MOST_INDEX)
            check_regular(path)
            if rest["format"] != FORMAT:
                raise ValueError(f"format {rest['format']}, this version reads {FORMAT}")
            with safe_open(path, framework="pt") as file:
                if (file.metadata() or {})["fingerprint"] != rest["fingerprint"]:
                    raise ValueError("its .json file belongs to other embeddings")
                embeddings: Tensor = file.get_tensor("embeddings")
            if embeddings.dtype != torch.float32:
                raise ValueError(f"embeddings are float32, got {embeddings.dtype}")
            tokens = rest["tokens"]
            for name in ("source", "source_sha256", "join"):
                if not isinstance(rest[name], str):
                    raise ValueError(f"{name} must be a text, got {rest[name]!r:.40}")
            if tokens is not None and not all(isinstance(token, int) for token in tokens):
                raise ValueError("tokens must be whole numbers")
            return cls(
                tuple(rest["words"]),
                embeddings,
                rest["source"],
                rest["source_sha256"],
                rest["join"],
                None if tokens is None else tuple(tokens),
                rest["filters"],
                rest["round_trip_rate"],
            )
        except (OSError, KeyError, TypeError, ValueError, InputError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:160]
            raise WeightsError(f"{path} is not a vocabulary file ({reason}): delete it and run again") from error
