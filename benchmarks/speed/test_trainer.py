"""The trainer's step against a bare PyTorch loop of the same modules: what seeds, draws, averages and logs cost.

Run with: .venv/bin/python -m pytest benchmarks/speed/test_trainer.py --benchmark-only
A real run of `Trainer` asks its data for a batch at the begin of every step. These data note the time, take one step of
the bare loop, which has a model of its own, and note the time again: so the two take turns, step by step, in one
process and one thread. Compared are blocks of ten steps, each with one that is logged, by their median processor time.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.nn import functional as F

from spae.data.datasets.corrupt_files import CorruptFiles
from spae.data.datasets.protocol import EVALUATED, TrainingBatch
from spae.losses.appearance import commitment, decoder_input
from spae.losses.semantic import dynamic_weight, semantic_loss, semantic_pools, semantic_random
from spae.tokenizers.build import build_model
from spae.tokenizers.config import ModelConfig
from spae.training import data_source, word_scores
from spae.training.recipe import DataConfig, LoggingConfig, OptimizerConfig, Recipe, SemanticsConfig
from spae.training.step_random import sample_depths
from spae.training.trainer import LOG_EVERY, Trainer
from spae.vocabulary import VOCABULARIES, LexicalVocabulary

WORDS, WIDTH, CLASSES = 4000, 64, 10
BLOCKS = 8
MOST_OVERHEAD = 1.05
"""Promised: time of the trainer's step over the bare one's."""

RECIPE = Recipe(
    name="speed",
    model=ModelConfig(quantizer="saq", vocabulary="speed", latent_scale=2.0),
    semantics=SemanticsConfig(scorer="label_text", thresholds=(0.98, 0.95), semantic_weight_min=0.4),
    data=DataConfig(batch_size=16, decode_batch_size=16),
    optimizer=OptimizerConfig(steps=LOG_EVERY * (BLOCKS + 1), warmup_steps=0, precision="no"),
    logging=LoggingConfig(evaluate_every=10**6, samples_every=10**6, checkpoint_every=10**6),
)


class BareLoop:
    """The same step as a script would have it."""

    def __init__(self, vocabulary: LexicalVocabulary, scores: torch.Tensor) -> None:
        torch.manual_seed(0)
        self.model = build_model(RECIPE.model, vocabulary).train()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=RECIPE.optimizer.learning_rate, betas=RECIPE.optimizer.betas, weight_decay=0.0
        )
        self.pools = semantic_pools(scores, RECIPE.semantics.thresholds)
        self.values = [value.detach() for value in self.model.state_dict().values()]
        self.averages = [value.clone() for value in self.values]
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        model, table = self.model, self.model.quantizer.table
        assert table is not None
        z = model.latents(images)
        quantized = model.quantizer(z)
        depths = sample_depths(len(z), 4, RECIPE.appearance.layer_dropout, self.generator)
        mse = F.mse_loss(model.decode(decoder_input(quantized, depths)), images)
        random = semantic_random(
            [target.shape[1] for target in quantized.targets[:2]], len(z), RECIPE.semantics.semantic_positions,
            RECIPE.semantics.target, self.generator,
        )  # fmt: skip
        semantic = semantic_loss(quantized.targets[:2], self.pools, labels, table, random)
        weight = dynamic_weight(
            mse, semantic, RECIPE.semantics.semantic_weight_min, RECIPE.semantics.semantic_weight_max
        )
        total = mse + RECIPE.appearance.commitment_weight * commitment(z, quantized) + weight * semantic
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), RECIPE.optimizer.max_grad_norm)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, self.values, 1 - RECIPE.optimizer.ema_decay)


class Turns:
    """Training data that take a step of the bare loop before each of the trainer's."""

    name = title = fingerprint = "turns"
    batch = RECIPE.data.batch_size
    classes = tuple(str(number) for number in range(CLASSES))
    unnamed = 0

    def __init__(self, bare: BareLoop) -> None:
        self.corrupt_files = CorruptFiles(total=1)
        self.bare, self.began = bare, 0.0
        self.bare_seconds: list[float] = []
        self.trainer_seconds: list[float] = []
        generator = torch.Generator().manual_seed(1)
        self.images = torch.rand(RECIPE.data.batch_size, 3, 32, 32, generator=generator) * 2 - 1
        self.labels = torch.arange(RECIPE.data.batch_size) % CLASSES

    def at(self, step: int, rows: slice | None = None) -> TrainingBatch:
        if step:
            self.trainer_seconds.append(time.process_time() - self.began)
        start = time.process_time()
        self.bare(self.images, self.labels)
        self.bare_seconds.append(time.process_time() - start)
        self.began = time.process_time()
        return TrainingBatch(self.images, self.labels, ("",) * RECIPE.data.batch_size)

    def held_out(self, limit: int | None = EVALUATED) -> TrainingBatch:
        return TrainingBatch(self.images[:2], self.labels[:2], ("",) * 2)

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def one_thread() -> Generator[None, None, None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def blocks(seconds: list[float]) -> list[float]:
    """Sums of ten steps each, the first ten, which warm up, left out."""
    return [sum(seconds[start : start + LOG_EVERY]) for start in range(LOG_EVERY, LOG_EVERY * BLOCKS, LOG_EVERY)]


def test_step_over_a_bare_loop(
    benchmark: Callable[..., object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(5)
    words = tuple(f"w{number}" for number in range(WORDS))
    vocabulary = LexicalVocabulary(words, torch.randn(WORDS, WIDTH, generator=generator), "a benchmark", "0" * 64)
    features = torch.nn.functional.normalize(torch.randn(WORDS, 32, generator=generator), dim=1)
    monkeypatch.setitem(VOCABULARIES, "speed", lambda: vocabulary)
    monkeypatch.setattr(word_scores, "text_features", lambda texts: features[: len(texts)])
    data = Turns(BareLoop(vocabulary, word_scores.label_table(Turns.classes, words)))
    monkeypatch.setattr(data_source, "open_training_data", lambda *_, **__: data)
    trainer = Trainer(RECIPE, tmp_path / "run", Console(file=io.StringIO()))
    benchmark.pedantic(trainer.run, rounds=1)  # type: ignore[attr-defined]
    ours, bare = statistics.median(blocks(data.trainer_seconds)), statistics.median(blocks(data.bare_seconds))
    benchmark.extra_info.update(  # type: ignore[attr-defined]
        milliseconds_a_step=round(ours / LOG_EVERY * 1000, 2),
        bare_milliseconds=round(bare / LOG_EVERY * 1000, 2),
        times_the_bare_loop=round(ours / bare, 3),
    )
    assert ours / bare <= MOST_OVERHEAD
