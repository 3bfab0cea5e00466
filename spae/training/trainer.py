"""The training of a recipe into a folder, on accelerate.

    for step in steps:      # each draws its chance from (seed, step)
        take it             # spae.training.step
        every so many: log, evaluate, draw samples, write a checkpoint

So the whole state of a run is in its checkpoint, and a killed run resumed ends as one left alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console

from spae.data.datasets.protocol import TrainingData
from spae.launch import launched_alone
from spae.losses.lecam import LeCam
from spae.losses.perceptual import PerceptualLoss, open_perceptual
from spae.tokenizers.build import build_model, model_config, save_model
from spae.tokenizers.initial import load_initial
from spae.tokenizers.model import TokenizerModel
from spae.training.average import AveragedWeights
from spae.training.checkpoint import last_good, load_checkpoint, save_checkpoint, set_aside, write_json
from spae.training.curves import draw_curves
from spae.training.data_source import held_out_parts, open_data
from spae.training.discriminator_step import GAMES, build_judge
from spae.training.evaluate import Evaluator
from spae.training.health_monitor import Watch
from spae.training.log import RunLog
from spae.training.objective import Objective
from spae.training.precision import Precision
from spae.training.progress import StepBar
from spae.training.recipe import Recipe
from spae.training.run_folder import LOG, check_unused, held, read_log
from spae.training.sample_grid import IMAGES, sample_rows, write_grid
from spae.training.state import Judging, State
from spae.training.step import Stepper
from spae.training.word_scores import open_scores
from spae.vocabulary import LexicalVocabulary, open_vocabulary

LOG_EVERY = 10
ALONE = (
    "training in one process: without MPI, accelerate launch --cpu starts no more, and its command line does not say "
    "how many were wanted; ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m spae train ... starts two"
)


@dataclass(frozen=True)
class Trainer:
    """One run of a recipe into a folder.

    Under `accelerate launch` every process runs one of these; the first writes all files.

    Args:
        recipe: what to train.
        folder: where checkpoints, TensorBoard events, `log.jsonl`, `curves.png`, `samples/` and the model go.
        console: for the progress bar and remarks.
        wandb: log to Weights & Biases, too.
    """

    recipe: Recipe
    folder: Path
    console: Console
    wandb: bool = False

    def run(self, resume: bool = False) -> dict[str, float]:
        """Train to the end and write the model; the figures of the averaged weights on held-out images.

        Raises:
            TrainingError: the folder is in use, or holds a run and `resume` is not asked, or holds none to resume or
                one of another recipe; the loss is not finite; the discriminator has stalled.
            InputError: a recipe that this machine or these processes cannot train.
        """
        # Precision is our own (spae.training.precision).
        accelerator = Accelerator(mixed_precision="no", step_scheduler_with_optimizer=False)
        with ExitStack() as stack:
            if accelerator.is_main_process:
                stack.enter_context(held(self.folder))
            if not resume:
                check_unused(self.folder)
            accelerator.wait_for_everyone()
            if accelerator.num_processes > 1 and accelerator.is_main_process:
                self.console.print(f"training in {accelerator.num_processes} processes", highlight=False)
            elif accelerator.num_processes == 1 and launched_alone(os.environ):
                self.console.print(ALONE, markup=False, highlight=False, soft_wrap=True)
            return _Run(self, accelerator, stack).train(resume)


class _Run:
    """What a run holds open while it lasts."""

    def __init__(self, trainer: Trainer, accelerator: Accelerator, stack: ExitStack) -> None:
        recipe, device = trainer.recipe, accelerator.device
        self.recipe, self.folder, self.console = recipe, trainer.folder, trainer.console
        self.accelerator, self.main = accelerator, accelerator.is_main_process
        self.vocabulary = open_vocabulary(recipe.vocabulary)
        self.config = model_config(recipe.model_dump(), self.vocabulary)
        self.data: TrainingData = open_data(recipe, self.folder)
        stack.callback(self.data.close)
        words = open_scores(recipe, self.data.classes, self.vocabulary.words, device)
        perceptual = _perceptual(recipe, device)
        precision = Precision(recipe.precision, device)
        self.state = _begin(recipe, self.config, self.vocabulary, device, precision.scaler)
        judge = None if self.state.judging is None else self.state.judging.network
        objective = Objective(recipe, words, perceptual, judge, GAMES.get(recipe.gan, "logistic"))
        self.take_step = Stepper(recipe, accelerator, precision, self.state, objective, self.data)
        self._evaluator = lambda: Evaluator(held_out_parts(self.data, recipe.evaluate_images), words, perceptual)
        self._looked_at: Evaluator | None = None
        self._trained: TokenizerModel | None = None
        self._stack, self._wandb = stack, trainer.wandb

    def train(self, resume: bool) -> dict[str, float]:
        """The loop; see `Trainer.run`."""
        recipe, state = self.recipe, self.state
        self._restore(resume)
        log = self._open_log()
        bar = self._stack.enter_context(
            StepBar(recipe.name, recipe.steps, state.step, recipe.batch, self.console, self.main)
        )
        figures: dict[str, float] | None = None
        always = self.accelerator.device.type == "cpu"
        while state.step < recipe.steps:
            last = state.step + 1 == recipe.steps
            logged = (state.step + 1) % LOG_EVERY == 0 or last
            terms = self.take_step(logged)
            done = state.step
            evaluated, saved = done % recipe.evaluate_every == 0 or last, done % recipe.checkpoint_every == 0 or last
            if always or logged or evaluated or saved:
                # On an accelerator, reading a tensor waits for all the work before it.
                scale = None if state.scaler is None else state.scaler.get_scale()
                state.watch.check(lambda: last_good(self.folder), scale)
            values = {name: value.item() for name, value in terms.items()} if logged else {}
            bar.update(done, values)
            if logged and log is not None:
                values["learning_rate"] = recipe.rate(done - 1)
                log.write(done, {f"train/{name}": value for name, value in values.items()})
            if evaluated:
                figures = self._evaluate(log)
            if done % recipe.samples_every == 0 or last:
                self._draw_samples()
            if saved and self.main:
                save_checkpoint(self.folder, done, recipe.model_dump(mode="json"), state.groups(), recipe.keep)
        if self.main:
            save_model(self.folder, state.average.state, self.config)
            self._say_problems()
        self.accelerator.wait_for_everyone()
        return self._evaluate(None) if figures is None else figures

    def _restore(self, resume: bool) -> None:
        """Go on from the newest checkpoint that is whole, where that is asked."""
        if resume:
            fields = self.recipe.model_dump(mode="json")
            say: Callable[[str], object] = self._say if self.main else lambda line: None
            step, groups = load_checkpoint(self.folder, fields, say)
            self.state.restore(step, groups)
            self.accelerator.wait_for_everyone()
            if self.main:
                set_aside(self.folder, step)
        if self.main:
            write_json(self.folder / "recipe.json", self.recipe.model_dump(mode="json"))

    def _open_log(self) -> RunLog | None:
        if not self.main:
            return None
        settings = self.recipe.model_dump(mode="json")
        return self._stack.enter_context(
            RunLog(self.folder, self.state.step, self.recipe.name, settings, self._wandb)
        )  # fmt: skip

    def _evaluate(self, log: RunLog | None) -> dict[str, float]:
        """Figures of the averaged weights, on the first process; the others wait."""
        figures: dict[str, float] = {}
        if self.main:
            figures = self._look()(self._averaged())
            if log is not None:
                log.write(self.state.step, figures)
                draw_curves(read_log(self.folder / LOG), self.folder / "curves.png")
        self.accelerator.wait_for_everyone()
        return figures

    def _draw_samples(self) -> None:
        """A grid of held-out images and their redrawings."""
        if self.main:
            images, _ = next(iter(self._look().parts.values()))
            rows = sample_rows(self._averaged(), images[:IMAGES].to(self.accelerator.device))
            write_grid(rows, self.folder / "samples" / f"step-{self.state.step:06d}.png")
        self.accelerator.wait_for_everyone()

    def _look(self) -> Evaluator:
        if self._looked_at is None:
            self._looked_at = self._evaluator()
        return self._looked_at

    def _averaged(self) -> TokenizerModel:
        """The averaged weights as a trained model: float32, exact search."""
        if self._trained is None:
            self._trained = build_model(self.config, self.vocabulary).to(self.accelerator.device).eval()
        self._trained.load_state_dict(self.state.average.state)
        return self._trained

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _say_problems(self) -> None:
        if self.data.problems.count:
            self._say(f"images that could not be used: {self.data.problems.summary()}")


def _begin(
    recipe: Recipe, config: dict[str, Any], vocabulary: LexicalVocabulary, device: torch.device, scaler: Any | None
) -> State:
    """The state before the first step."""
    # Here and not sooner: what was opened before may have drawn, or found its work done in a cache.
    torch.manual_seed(recipe.seed)
    model = build_model(config, vocabulary, torch.bfloat16 if recipe.precision == "bf16" else torch.float32)
    if recipe.initial:
        load_initial(model, vocabulary, recipe.initial, recipe.inflation or None)
    model = model.to(device).train()
    optimizer = _optimizer(model, recipe, recipe.learning_rate)
    judge = build_judge(recipe)
    judging = None
    if judge is not None:
        judge = judge.to(device).train()
        rate = recipe.discriminator_lr
        judging = Judging(judge, _optimizer(judge, recipe, rate), LeCam(recipe.lecam_decay).to(device))
    average = AveragedWeights(model, recipe.ema)
    return State(model, optimizer, average, judging, Watch(recipe, device), scaler)


def _optimizer(module: torch.nn.Module, recipe: Recipe, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), lr=rate, betas=recipe.betas, weight_decay=recipe.weight_decay)


def _perceptual(recipe: Recipe, device: torch.device) -> PerceptualLoss | None:
    if recipe.perceptual == "none":
        return None
    file = Path(recipe.perceptual_file) if recipe.perceptual_file else None
    return open_perceptual(recipe.perceptual, file, recipe.perceptual_side or None).to(device)
