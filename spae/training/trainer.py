"""The training loop, on accelerate.

Every step draws its chance from (seed, step), so that the whole state of a run is its weights,
their average, the optimizer's moments and the step: a killed run resumed ends as one left alone.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from spae.cache_folder import atomic_path
from spae.data.pictograms import Pictograms
from spae.errors import TrainingError
from spae.losses.semantic import semantic_pools
from spae.tokenizers.build import build_model, model_config, save_model
from spae.tokenizers.model import TokenizerModel
from spae.training.checkpoint import (
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    write_json,
)
from spae.training.evaluate import held_out_scores, label_scores
from spae.training.objective import Objective
from spae.training.pictures import PictogramBatches, open_pictograms
from spae.training.recipe import Recipe
from spae.vocabulary import LexicalVocabulary, open_vocabulary

LOG_EVERY = 10


@dataclass
class State:
    """What changes in training: with the recipe, all that a resumed run needs.

    Attributes:
        average: the exponential moving average of the model's state.
        step: steps done.
    """

    accelerator: Accelerator
    model: TokenizerModel
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    step: int

    def groups(self) -> dict[str, dict[str, Tensor]]:
        """As a checkpoint holds it."""
        names = [name for name, _ in self.model.named_parameters()]
        return {
            "model": self.model.state_dict(),
            "ema": self.average,
            "optimizer": optimizer_tensors(self.optimizer, names),
        }


@dataclass(frozen=True)
class Trainer:
    """One run of a recipe into a folder.

    Args:
        recipe: what to train.
        folder: where checkpoints, TensorBoard events, `log.jsonl` and the model go.
        console: for the progress bar.
    """

    recipe: Recipe
    folder: Path
    console: Console

    def run(self, resume: bool = False) -> dict[str, float]:
        """Train to the end and write the model; the scores of the averaged weights on held-out pictures.

        Raises:
            TrainingError: the folder holds a run and `resume` is not asked, or the loss is not finite.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not resume and any(self.folder.glob("step-*.safetensors")):
            raise TrainingError(f"{self.folder} holds checkpoints of a run: pass --resume, or --out another folder")
        recipe = self.recipe
        torch.manual_seed(recipe.seed)
        accelerator = Accelerator(mixed_precision=recipe.precision, step_scheduler_with_optimizer=False)
        if accelerator.num_processes > 1:
            raise TrainingError(f"training takes one process for now, got {accelerator.num_processes}: launch one")
        vocabulary = open_vocabulary(recipe.vocabulary)
        config = model_config(recipe.model_dump(), vocabulary)
        batches = open_pictograms(recipe.batch, recipe.size, recipe.seed, recipe.augment)
        scores = label_scores(batches.pictograms, vocabulary.words) if recipe.quantizer == "saq" else torch.empty(0)
        state = self._begin(accelerator, build_model(config, vocabulary, _search(recipe)), resume)
        objective = Objective(recipe, semantic_pools(scores.to(accelerator.device), recipe.thresholds))
        write_json(self.folder / "recipe.json", recipe.model_dump(mode="json"))
        self._trim_log(state.step)
        final: dict[str, float] = {}
        with self._progress() as progress, SummaryWriter(self.folder / "tensorboard", purge_step=state.step) as writer:
            bar = progress.add_task(recipe.name, total=recipe.steps, completed=state.step, note="")
            while state.step < recipe.steps:
                terms = self._step(state, objective, batches)
                progress.update(bar, completed=state.step, note=f"mse {terms['mse']:.3f} total {terms['total']:.3f}")
                last = state.step == recipe.steps
                if state.step % LOG_EVERY == 0 or last:
                    self._log(writer, state.step, {f"train/{name}": value for name, value in terms.items()})
                if state.step % recipe.evaluate_every == 0 or last:
                    final = self._evaluate(state, config, vocabulary, batches.pictograms, scores)
                    self._log(writer, state.step, final)
                if state.step % recipe.checkpoint_every == 0 or last:
                    save_checkpoint(self.folder, state.step, recipe.fingerprint, state.groups())
        save_model(self.folder, state.average, config)
        return final or self._evaluate(state, config, vocabulary, batches.pictograms, scores)

    def _begin(self, accelerator: Accelerator, model: TokenizerModel, resume: bool) -> State:
        """A fresh start, or the newest checkpoint."""
        recipe = self.recipe
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        step, groups = load_checkpoint(self.folder, recipe.fingerprint) if resume else (0, {})
        if groups:
            model.load_state_dict(groups["model"])
            restore_optimizer(optimizer, [name for name, _ in model.named_parameters()], groups["optimizer"])
        model, optimizer = accelerator.prepare(model, optimizer)
        average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        for name, value in groups.get("ema", {}).items():
            average[name].copy_(value)
        return State(accelerator, model, optimizer, average, step)

    def _step(self, state: State, objective: Objective, batches: PictogramBatches) -> dict[str, float]:
        """One step; every term of the loss by its name."""
        recipe, accelerator, step = self.recipe, state.accelerator, state.step
        chance = recipe.seed * 1_000_003 + step
        generator = torch.Generator().manual_seed(chance)
        torch.manual_seed(chance)
        for group in state.optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        pictures, labels = batches.at(step, generator)
        with accelerator.autocast():
            total, terms = objective(
                state.model, pictures.to(accelerator.device), labels.to(accelerator.device), generator
            )
        if not math.isfinite(terms["total"]):
            raise TrainingError(
                f"the loss must be finite, got {terms} at step {step}: lower learning_rate and pass --resume to go on "
                "from the last checkpoint"
            )
        state.optimizer.zero_grad(set_to_none=True)
        accelerator.backward(total)
        terms["gradient_norm"] = float(accelerator.clip_grad_norm_(state.model.parameters(), recipe.clip))
        terms["learning_rate"] = recipe.rate(step)
        state.optimizer.step()
        # The average warms up with the run, or its first thousand steps would be the random start.
        decay = min(recipe.ema, (1 + step) / (10 + step))
        for name, value in state.model.state_dict().items():
            state.average[name].lerp_(value.detach(), 1 - decay)
        state.step += 1
        return terms

    def _evaluate(
        self,
        state: State,
        config: dict[str, Any],
        vocabulary: LexicalVocabulary,
        pictograms: Pictograms,
        scores: Tensor,
    ) -> dict[str, float]:
        model = build_model(config, vocabulary)
        model.load_state_dict(state.average)
        return held_out_scores(model.eval(), pictograms, self.recipe.size, scores)

    def _trim_log(self, start: int) -> None:
        """Drop the lines past the step a run is resumed from: they will be made again."""
        log = self.folder / "log.jsonl"
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= start]
        with atomic_path(log) as draft:
            draft.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def _log(self, writer: SummaryWriter, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step} | {name: round(value, 6) for name, value in values.items()}) + "\n")

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=False,
        )


def _search(recipe: Recipe) -> torch.dtype:
    return torch.bfloat16 if recipe.precision == "bf16" else torch.float32
