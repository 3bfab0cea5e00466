"""Runs of `python -m spae train` on a tiny vocabulary, in processes of their own.

Called with a JSON list of runs, each a folder and fields of its recipe. Everything large is replaced: the vocabulary by
200 words, the network by one of 8 filters, MiniLM's features by random directions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import torch

# Imported here, so that a process forked from one that did so starts at once.
import spae.training.trainer
import spae.training.word_scores
from spae.cli import app
from spae.network_presets import NETWORKS
from spae.training import recipes
from spae.training.recipes import ready
from spae.vocabulary import VOCABULARIES, LexicalVocabulary
from tests.spae.conftest import tiny_recipe

WORDS = 200
FIELDS = {
    "name": "small", "source": "mnist", "batch_size": 8, "decode_batch_size": 8, "evaluate_images": 8,
    "evaluate_every": 1000, "samples_every": 1000, "checkpoint_every": 2,
}  # fmt: skip


def vocabulary() -> LexicalVocabulary:
    generator = torch.Generator().manual_seed(5)
    words = tuple(f"w{number}" for number in range(WORDS))
    return LexicalVocabulary(words, torch.randn(WORDS, 16, generator=generator) * 0.3 + 0.1, "a test", "0" * 64)


def features(texts: Sequence[str]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(texts))
    return torch.nn.functional.normalize(torch.randn(len(texts), 8, generator=generator), dim=1)


def prepare() -> None:
    torch.set_num_threads(1)
    VOCABULARIES["tiny"] = vocabulary
    NETWORKS["picto"] = (8, (1, 2, 2, 4))
    spae.training.word_scores.text_features = features
    spae.training.trainer.LOG_EVERY = 1
    ready.check_ready = lambda recipe: None


def train(folder: str, fields: dict[str, object], resume: bool = False) -> None:
    """One run in this process, by the command line. Raises SystemExit with its exit code."""
    prepare()
    recipes.get_recipe = lambda name: tiny_recipe(**(FIELDS | fields))
    app(["train", "--recipe", "small", "--out", folder, *(["--resume"] if resume else [])], standalone_mode=True)


if __name__ == "__main__":
    for folder, fields in json.loads(sys.argv[1]):
        try:
            train(folder, fields)
        except SystemExit as end:
            if end.code:
                raise
