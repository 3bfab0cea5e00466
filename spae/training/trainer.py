"""The training of a recipe into a folder, on accelerate.

    for step in steps:      # its randomness is seeded by (seed, step)
        take the step       # spae.training.step
        at intervals: log, evaluate, write figures, write a checkpoint

A checkpoint holds the whole state of a run, so a run that is killed and resumed ends with the bits of an uninterrupted
one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console

from spae.atomic import write_text
from spae.data.datasets.protocol import TrainingData
from spae.distributed import check_launcher
from spae.losses.lecam import LeCam
from spae.losses.perceptual import PerceptualLoss, open_perceptual
from spae.tokenizers.build import build_model, save_model, saved_config
from spae.tokenizers.config import SavedConfig
from spae.tokenizers.init_weights import load_init_weights
from spae.tokenizers.model import TokenizerModel
from spae.training.checkpoint import check_unused, last_good, load_checkpoint, locked, save_checkpoint, set_aside
from spae.training.data_source import held_out_parts, open_data
from spae.training.discriminator_step import GAN_LOSSES, build_discriminator
from spae.training.evaluate import Evaluator
from spae.training.figures import GRID_IMAGES, sample_rows, write_curves, write_grid
from spae.training.health_monitor import HealthMonitor
from spae.training.log import LOG, RunLog, read_log
from spae.training.objective import Objective
from spae.training.precision import Precision
from spae.training.progress import StepBar
from spae.training.recipe import OptimizerConfig, Recipe
from spae.training.state import AveragedWeights, DiscriminatorState, TrainingState
from spae.training.step import Stepper
from spae.training.word_scores import open_scores
from spae.vocabulary import LexicalVocabulary, open_vocabulary

LOG_EVERY = 10


@dataclass(frozen=True)
class Trainer:
    """One run of a recipe into a folder.

    With several processes (torchrun, accelerate launch) each runs one of these; the first writes all files.

    Args:
        recipe: the model and its training.
        folder: where checkpoints, TensorBoard events, `log.jsonl`, `curves.png`, `samples/` and the model go.
        console: for the progress bar and messages.
        wandb: log to Weights & Biases, too.
    """

    recipe: Recipe
    folder: Path
    console: Console
    wandb: bool = False

    def run(self, resume: bool = False) -> dict[str, float]:
        """Train to the end and write the model; returns the metrics of the averaged weights on held-out images.

        Raises:
            TrainingError: the folder is in use, holds a run and `resume` is False, or holds none to resume or one of
                another recipe; the loss is not finite; the discriminator has stalled.
            InputError: a recipe that this machine or these processes cannot train; a launcher that starts one process.
        """
        check_launcher(os.environ)
        # Half precision is spae.training.precision's.
        accelerator = Accelerator(mixed_precision="no", step_scheduler_with_optimizer=False)
        with ExitStack() as stack:
            if accelerator.is_main_process:
                stack.enter_context(locked(self.folder))
            if not resume:
                check_unused(self.folder)
            accelerator.wait_for_everyone()
            if accelerator.num_processes > 1 and accelerator.is_main_process:
                self.console.print(f"training in {accelerator.num_processes} processes", highlight=False)
            return _Run(self, accelerator, stack).train(resume)


class _Run:
    """A run in progress: its data, state, evaluator and log."""

    def __init__(self, trainer: Trainer, accelerator: Accelerator, stack: ExitStack) -> None:
        recipe, device = trainer.recipe, accelerator.device
        self.recipe, self.folder, self.console = recipe, trainer.folder, trainer.console
        self.accelerator, self.main = accelerator, accelerator.is_main_process
        self.vocabulary = open_vocabulary(recipe.model.vocabulary)
        self.config = saved_config(recipe.name, recipe.model, self.vocabulary)
        self.data: TrainingData = open_data(recipe, self.folder)
        stack.callback(self.data.close)
        if self.main:
            self._print(f"data: {self.data.title}")
        words = open_scores(recipe, self.data.classes, self.vocabulary.words, device)
        perceptual = _perceptual(recipe, device)
        precision = Precision(recipe.optimizer.precision, device)
        self.state = _initial_state(recipe, self.config, self.vocabulary, device, precision.scaler)
        discriminator = None if self.state.discriminator is None else self.state.discriminator.network
        gan = GAN_LOSSES.get(recipe.appearance.gan, "logistic")
        objective = Objective(recipe, words, perceptual, discriminator, gan)
        self.take_step = Stepper(recipe, accelerator, precision, self.state, objective, self.data)
        self._words, self._perceptual = words, perceptual
        self._evaluator: Evaluator | None = None
        self._averaged_model: TokenizerModel | None = None
        self._stack, self._wandb = stack, trainer.wandb

    def train(self, resume: bool) -> dict[str, float]:
        """The loop; see `Trainer.run`."""
        recipe, state, logging = self.recipe, self.state, self.recipe.logging
        steps = recipe.optimizer.steps
        self._restore(resume)
        log = self._open_log()
        bar = StepBar(recipe.name, steps, state.step, recipe.data.batch_size, self.console, self.main)
        self._stack.enter_context(bar)
        metrics: dict[str, float] | None = None
        always = self.accelerator.device.type == "cpu"
        while state.step < steps:
            last = state.step + 1 == steps
            logged = (state.step + 1) % LOG_EVERY == 0 or last
            terms = self.take_step(logged)
            done = state.step
            evaluated, saved = done % logging.evaluate_every == 0 or last, done % logging.checkpoint_every == 0 or last
            if always or logged or evaluated or saved:
                # On an accelerator, reading a tensor waits for all the work before it.
                scale = None if state.scaler is None else state.scaler.get_scale()
                state.health.check(lambda: last_good(self.folder), scale)
            values = {name: value.item() for name, value in terms.items()} if logged else {}
            bar.update(done, values)
            if logged and log is not None:
                values["learning_rate"] = recipe.optimizer.rate(done - 1)
                log.write(done, {f"train/{name}": value for name, value in values.items()})
            if evaluated:
                metrics = self._evaluate(log)
            if done % logging.samples_every == 0 or last:
                self._write_figures()
            if saved and self.main:
                save_checkpoint(
                    self.folder, done, recipe.model_dump(mode="json"), state.groups(), logging.keep_checkpoints
                )
        if self.main:
            save_model(self.folder, state.average.state, self.config)
            self._report_corrupt_files()
        self.accelerator.wait_for_everyone()
        return self._evaluate(None) if metrics is None else metrics

    def _restore(self, resume: bool) -> None:
        """Load the newest undamaged checkpoint to resume; write recipe.json."""
        recipe = self.recipe.model_dump(mode="json")
        if resume:
            warn: Callable[[str], object] = self._print if self.main else lambda line: None
            step, groups = load_checkpoint(self.folder, recipe, warn)
            self.state.restore(step, groups)
            self.accelerator.wait_for_everyone()
            if self.main:
                set_aside(self.folder, step)
        if self.main:
            write_text(self.folder / "recipe.json", json.dumps(recipe, indent=2, sort_keys=True) + "\n")

    def _open_log(self) -> RunLog | None:
        if not self.main:
            return None
        settings = self.recipe.model_dump(mode="json")
        log = RunLog(self.folder, self.state.step, self.recipe.name, settings, self._wandb)
        return self._stack.enter_context(log)

    def _evaluate(self, log: RunLog | None) -> dict[str, float]:
        """Metrics of the averaged weights, on the first process; the others wait."""
        metrics: dict[str, float] = {}
        if self.main:
            metrics = self._open_evaluator()(self._averaged())
            if log is not None:
                log.write(self.state.step, metrics)
        self.accelerator.wait_for_everyone()
        return metrics

    def _write_figures(self) -> None:
        """Write the curves so far, and a grid of held-out images and their reconstructions."""
        if self.main:
            write_curves(read_log(self.folder / LOG), self.folder / "curves.png")
            images, _ = next(iter(self._open_evaluator().parts.values()))
            rows = sample_rows(self._averaged(), images[:GRID_IMAGES].to(self.accelerator.device))
            write_grid(rows, self.folder / "samples" / f"step-{self.state.step:06d}.png")
        self.accelerator.wait_for_everyone()

    def _open_evaluator(self) -> Evaluator:
        if self._evaluator is None:
            parts = held_out_parts(self.data, self.recipe.logging.evaluate_images)
            self._evaluator = Evaluator(parts, self._words, self._perceptual)
        return self._evaluator

    def _averaged(self) -> TokenizerModel:
        """A model with the averaged weights: float32, exact search."""
        if self._averaged_model is None:
            self._averaged_model = build_model(self.config, self.vocabulary).to(self.accelerator.device).eval()
        self._averaged_model.load_state_dict(self.state.average.state)
        return self._averaged_model

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _report_corrupt_files(self) -> None:
        if self.data.corrupt_files.count:
            self._print(f"corrupt images: {self.data.corrupt_files.summary()}")


def _initial_state(
    recipe: Recipe, config: SavedConfig, vocabulary: LexicalVocabulary, device: torch.device, scaler: Any | None
) -> TrainingState:
    """The state before the first step."""
    optimizer = recipe.optimizer
    # Seeded here and not sooner: opening the data or a loss may sample, or not if it finds its result in a cache.
    torch.manual_seed(optimizer.seed)
    model = build_model(config, vocabulary, torch.bfloat16 if optimizer.precision == "bf16" else torch.float32)
    if optimizer.init_from:
        load_init_weights(model, vocabulary, optimizer.init_from, optimizer.inflation or None)
    model = model.to(device).train()
    model_optimizer = _adam(model, optimizer, optimizer.learning_rate)
    network = build_discriminator(recipe)
    discriminator = None
    if network is not None:
        network = network.to(device).train()
        lecam = LeCam(recipe.appearance.lecam_decay).to(device)
        discriminator = DiscriminatorState(network, _adam(network, optimizer, optimizer.discriminator_lr), lecam)
    average = AveragedWeights(model, optimizer.ema_decay)
    return TrainingState(model, model_optimizer, average, discriminator, HealthMonitor(recipe, device), scaler)


def _adam(module: torch.nn.Module, config: OptimizerConfig, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), lr=rate, betas=config.betas, weight_decay=config.weight_decay)


def _perceptual(recipe: Recipe, device: torch.device) -> PerceptualLoss | None:
    appearance = recipe.appearance
    if appearance.perceptual == "none":
        return None
    file = Path(appearance.perceptual_file) if appearance.perceptual_file else None
    return open_perceptual(appearance.perceptual, file, appearance.perceptual_side or None).to(device)
