"""Runs of `python -m spae train` on a tiny vocabulary, in processes of their own.

Called with a JSON list of runs, each a folder, fields of its recipe and whether it is in float64. Everything large is
replaced: the vocabulary by 200 words, the network by one of 8 filters, MiniLM's features by random directions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace

import torch

# Imported here, so that a process forked from one that did so starts at once.
import spae.training.step
import spae.training.trainer
import spae.training.word_scores
from spae.cli import app
from spae.network_presets import NETWORKS
from spae.training import recipes
from spae.training.data_source import held_out_parts, sample_step
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


FLOAT = torch.Tensor.float


def in_default_type(*arguments):
    batch, generator = sample_step(*arguments)
    return replace(batch, images=batch.images.float()), generator


def parts_in_default_type(*arguments):
    return {name: (images.float(), labels) for name, (images, labels) in held_out_parts(*arguments).items()}


def prepare(double: bool) -> None:
    torch.set_num_threads(1)
    # In double, everything that asks for float32 gets float64: what remains of a difference is then no rounding.
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    torch.Tensor.float = torch.Tensor.double if double else FLOAT  # type: ignore[method-assign]
    spae.training.step.sample_step = in_default_type if double else sample_step
    spae.training.trainer.held_out_parts = parts_in_default_type if double else held_out_parts
    VOCABULARIES["tiny"] = vocabulary
    NETWORKS["picto"] = (8, (1, 2, 2, 4))
    spae.training.word_scores.text_features = features
    spae.training.trainer.LOG_EVERY = 1
    spae.training.trainer.write_curves = lambda log, path: None  # a second each
    ready.check_ready = lambda recipe: None


def train(folder: str, fields: dict[str, object], resume: bool = False, double: bool = False) -> None:
    """One run in this process, by the command line. Raises SystemExit with its exit code."""
    prepare(double)
    recipes.get_recipe = lambda name: tiny_recipe(**(FIELDS | fields))
    app(["train", "--recipe", "small", "--out", folder, *(["--resume"] if resume else [])], standalone_mode=True)


def train_all(runs: Sequence[tuple[str, dict[str, object], bool]]) -> None:
    """Several runs: folder, fields of the recipe, and whether in float64."""
    for folder, fields, double in runs:
        try:
            train(folder, fields, double=double)
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    train_all(json.loads(sys.argv[1]))
