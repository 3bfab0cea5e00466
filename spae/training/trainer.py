"""The training loop, on accelerate.

Every step draws its chance from (seed, step), so that the whole state of a run is its weights,
their average, the optimizer's moments and the step: a killed run resumed ends as one left alone.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from spae.cache_folder import atomic_path
from spae.errors import TrainingError
from spae.losses.semantic import Pool
from spae.semantics.label_text import candidate_pool, similarity, text_features
from spae.tokenizers.build import build_model, model_config
from spae.tokenizers.model import TokenizerModel
from spae.training.checkpoint import (
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    write_json,
)
from spae.training.evaluate import redrawing_error, word_aptness
from spae.training.objective import Objective
from spae.training.pictures import held_out_pictures, open_pictograms
from spae.training.recipe import Recipe
from spae.vocabulary import VOCABULARIES


@dataclass
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
        accelerator = Accelerator(mixed_precision="bf16" if recipe.bf16 else "no", step_scheduler_with_optimizer=False)
        vocabulary = VOCABULARIES[recipe.vocabulary]()
        config = model_config(recipe.model_dump(), vocabulary)
        model = build_model(config, vocabulary, torch.bfloat16 if recipe.bf16 else torch.float32)
        batches = open_pictograms(recipe.batch, recipe.size, recipe.seed, recipe.augment)
        scores = torch.empty(0)
        if recipe.quantizer == "saq":
            scores = similarity(text_features(batches.labels), text_features(vocabulary.words))
        pools = tuple(Pool(*candidate_pool(scores, threshold)) for threshold in recipe.thresholds)
        objective = Objective(recipe, pools)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        names = [name for name, _ in model.named_parameters()]
        average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        start = 0
        if resume:
            start, groups = load_checkpoint(self.folder, recipe.fingerprint)
            model.load_state_dict(groups["model"])
            average = groups["ema"]
            restore_optimizer(optimizer, names, groups["optimizer"])
        model, optimizer = accelerator.prepare(model, optimizer)
        write_json(self.folder / "recipe.json", recipe.model_dump(mode="json"))
        self._trim_log(start)
        writer = SummaryWriter(self.folder / "tensorboard", purge_step=start)
        final: dict[str, float] = {}
        with self._progress() as progress:
            bar = progress.add_task(recipe.name, total=recipe.steps, completed=start, note="")
            for step in range(start, recipe.steps):
                terms = self._step(step, model, optimizer, objective, batches.at, accelerator, average)
                done = step + 1
                progress.update(bar, completed=done, note=f"mse {terms['mse']:.3f} total {terms['total']:.3f}")
                if done % 10 == 0:
                    self._log(writer, done, {f"train/{name}": value for name, value in terms.items()})
                if done % recipe.evaluate_every == 0 or done == recipe.steps:
                    final = self._evaluate(average, config, vocabulary, batches.pictograms, scores)
                    self._log(writer, done, final)
                if done % recipe.checkpoint_every == 0 or done == recipe.steps:
                    groups = {
                        "model": accelerator.unwrap_model(model).state_dict(),
                        "ema": average,
                        "optimizer": optimizer_tensors(optimizer, names),
                    }
                    save_checkpoint(self.folder, done, recipe.fingerprint, groups)
        writer.close()
        self._write_model(average, config)
        return final

    def _step(self, step, model, optimizer, objective, batch_at, accelerator, average) -> dict[str, float]:  # type: ignore[no-untyped-def]
        recipe = self.recipe
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        pictures, labels = batch_at(step, generator)
        with accelerator.autocast():
            total, terms = objective(model, pictures.to(accelerator.device), labels.to(accelerator.device), generator)
        if not math.isfinite(terms["total"]):
            raise TrainingError(
                f"the loss must be finite, got {terms} at step {step}: lower learning_rate and pass --resume to go on "
                "from the last checkpoint"
            )
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(total)
        terms["gradient_norm"] = float(accelerator.clip_grad_norm_(model.parameters(), recipe.clip))
        terms["learning_rate"] = recipe.rate(step)
        optimizer.step()
        # The average warms up with the run, or its first thousand steps would be the random start.
        decay = min(recipe.ema, (1 + step) / (10 + step))
        for name, value in accelerator.unwrap_model(model).state_dict().items():
            average[name].lerp_(value.detach(), 1 - decay)
        return terms

    def _evaluate(self, average, config, vocabulary, pictograms, scores: Tensor) -> dict[str, float]:  # type: ignore[no-untyped-def]
        model = build_model(config, vocabulary)
        model.load_state_dict(average)
        model.eval()
        results = {}
        for name, new in (("style", False), ("concept", True)):
            pictures, labels = held_out_pictures(pictograms, self.recipe.size, new)
            found = redrawing_error(model, pictures) | word_aptness(model, pictures, labels, scores)
            results |= {f"held_out_{name}/{key}": value for key, value in found.items()}
        return results

    def _write_model(self, average: dict[str, Tensor], config: dict) -> None:
        weights = {name: value.half().contiguous() for name, value in average.items()}
        with atomic_path(self.folder / "model.safetensors") as draft:
            save_file(weights, draft)
        write_json(self.folder / "config.json", config)

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


def trained_model(folder: Path) -> TokenizerModel:
    """The model that a finished run wrote."""
    from spae.tokenizers.build import load_model

    return load_model(folder)
