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
from safetensors import SafetensorError

from spae.atomic import append_lines, write_text
from spae.data.datasets.protocol import TrainingData
from spae.distributed import check_launcher, on_cpus
from spae.errors import TrainingError
from spae.losses.lecam import LeCam
from spae.losses.perceptual import PerceptualLoss, open_perceptual
from spae.tokenizers.build import build_model, save_model, saved_config
from spae.tokenizers.config import SavedConfig
from spae.tokenizers.init_weights import load_init_weights
from spae.tokenizers.model import TokenizerModel
from spae.training.checkpoint import (
    NO_CHECKPOINT,
    Changes,
    changes,
    check_resumable,
    check_unused,
    last_good,
    load_checkpoint,
    locked,
    save_checkpoint,
    set_aside,
)
from spae.training.data_source import held_out_parts, open_data
from spae.training.discriminator_step import GAN_LOSSES, build_discriminator
from spae.training.evaluate import Evaluator
from spae.training.figures import GRID_IMAGES, sample_rows, write_curves, write_grid
from spae.training.health_monitor import HealthMonitor
from spae.training.interruption import Interrupted, StopSignals
from spae.training.log import LOG, RunLog, check_wandb, read_log
from spae.training.objective import Objective
from spae.training.precision import Precision
from spae.training.progress import StepBar, showing_work
from spae.training.recipe import OptimizerConfig, Recipe
from spae.training.state import AveragedWeights, DiscriminatorState, TrainingState
from spae.training.step import Stepper, check_shards
from spae.training.word_scores import open_scores
from spae.vocabulary import LexicalVocabulary, open_vocabulary

LOG_EVERY = 10
CHANGES = "changes.jsonl"
"""Settings that a resumed run changed: the step, the field, and its values before and from then on."""


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
            TrainingError: the folder is in use, holds a run and `resume` is False, or holds none to resume or one that
                this recipe cannot continue; the loss is not finite; the discriminator has stalled; a file cannot be
                written.
            InputError: a recipe that this machine or these processes cannot train; a launcher that starts one process.
            Interrupted: SIGINT or SIGTERM; the state after the last step is saved.
        """
        check_launcher(os.environ)
        if self.wandb:
            check_wandb()
        # Half precision is spae.training.precision's. Several processes without a GPU are processes on the CPU.
        accelerator = Accelerator(
            mixed_precision="no", step_scheduler_with_optimizer=False, cpu=on_cpus(os.environ)
        )  # fmt: skip
        check_shards(self.recipe, accelerator.num_processes)
        try:
            with ExitStack() as stack:
                if accelerator.is_main_process:
                    stack.enter_context(locked(self.folder))
                if resume:
                    check_resumable(self.folder, self.recipe.model_dump(mode="json"))
                else:
                    check_unused(self.folder)
                accelerator.wait_for_everyone()
                if accelerator.num_processes > 1 and accelerator.is_main_process:
                    self.console.print(f"training in {accelerator.num_processes} processes", highlight=False)
                return _Run(self, accelerator, stack).train(resume)
        except (OSError, SafetensorError) as error:
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:160]
            where = getattr(error, "filename", None) or self.folder
            raise TrainingError(f"training cannot go on, {where}: {reason}; {self._kept()}") from error

    def _kept(self) -> str:
        found = last_good(self.folder)
        more = "" if found == NO_CHECKPOINT else ", --resume continues from it"
        return f"the last good checkpoint is {found}{more}"


class _Run:
    """A run in progress: its data, state, evaluator and log."""

    def __init__(self, trainer: Trainer, accelerator: Accelerator, stack: ExitStack) -> None:
        recipe, device = trainer.recipe, accelerator.device
        self.recipe, self.folder, self.console = recipe, trainer.folder, trainer.console
        self.accelerator, self.main = accelerator, accelerator.is_main_process
        self.signals = StopSignals(
            self._print if self.main else lambda line: None, trainer._kept, accelerator.num_processes > 1
        )
        stack.enter_context(self.signals)
        self._stack, self._wandb = stack, trainer.wandb
        with showing_work(self.console, self.main):
            self.vocabulary = open_vocabulary(recipe.model.vocabulary)
            self.config = saved_config(recipe.name, recipe.model, self.vocabulary)
            self.data: TrainingData = open_data(recipe, self.folder)
            stack.callback(self.data.close)
            if self.main:
                self._print(f"data: {self.data.title}")
            perceptual = _perceptual(recipe, device)
            precision = Precision(recipe.optimizer.precision, device)
            self.state = _initial_state(recipe, self.config, self.vocabulary, device, precision.scaler)
            discriminator = None if self.state.discriminator is None else self.state.discriminator.network
            # Last, because it may take minutes: whatever is wrong with the rest is found before.
            words = open_scores(recipe, self.data.classes, self.vocabulary.words, device)
        gan = GAN_LOSSES.get(recipe.appearance.gan, "logistic")
        objective = Objective(recipe, words, perceptual, discriminator, gan)
        self.take_step = Stepper(recipe, accelerator, precision, self.state, objective, self.data)
        self._words, self._perceptual = words, perceptual
        self._evaluator: Evaluator | None = None
        self._averaged_model: TokenizerModel | None = None

    def train(self, resume: bool) -> dict[str, float]:
        """The loop; see `Trainer.run`."""
        recipe, state, logging = self.recipe, self.state, self.recipe.logging
        steps = recipe.optimizer.steps
        self._restore(resume)
        log = self._open_log()
        bar = StepBar(recipe.name, steps, state.step, recipe.data.batch_size, self.console, self.main)
        self._stack.enter_context(bar)
        self.signals.defer()
        metrics: dict[str, float] | None = None
        always = self.accelerator.device.type == "cpu"
        while state.step < steps:
            last = state.step + 1 == steps
            logged = (state.step + 1) % LOG_EVERY == 0 or last
            terms = self.take_step(logged)
            done = state.step
            evaluated, saved = done % logging.evaluate_every == 0 or last, done % logging.checkpoint_every == 0 or last
            read = always or logged or evaluated or saved
            if read:
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
            stopped = self.signals.agreed(self.accelerator.device) if read and not last else 0
            if saved or stopped:
                self._save()
            if stopped:
                raise Interrupted(stopped, f"the state after {done} of {steps} steps is saved")
        if self.main:
            save_model(self.folder, state.average.state, self.config)
            self._report_corrupt_files()
        self.accelerator.wait_for_everyone()
        return self._evaluate(None) if metrics is None else metrics

    def _save(self) -> None:
        """Write a checkpoint, on the first process."""
        if self.main:
            recipe, state = self.recipe.model_dump(mode="json"), self.state
            save_checkpoint(self.folder, state.step, recipe, state.groups(), self.recipe.logging.keep_checkpoints)

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
                self._note_changes(step, changes(self.folder, step, recipe))
        if self.main:
            write_text(self.folder / "recipe.json", json.dumps(recipe, indent=2, sort_keys=True) + "\n")

    def _note_changes(self, step: int, changed: Changes) -> None:
        """Say which settings a resumed run changes, and keep it: the weights are then of no single recipe."""
        lines = []
        for field, (before, now) in changed.items():
            self._print(f"from step {step} on {field} is {json.dumps(now)}, before it was {json.dumps(before)}")
            lines.append(json.dumps({"step": step, "field": field, "before": before, "now": now}))
        append_lines(self.folder / CHANGES, lines)

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
