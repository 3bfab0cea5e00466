"""One step of training, on accelerate: shares of a batch, gradients of both players, averages.

The whole batch is the recipe's `batch` over all processes and parts; each part is a share of it with draws of its own.

Where the figures of a batch enter its loss, processes tell each other theirs: LatentNorm's mean and spread, the
averages behind a learned codebook, the dynamic weight, LeCAM's means. So two processes take the steps of one. Parts of
an accumulated step come one after the other and cannot: with `accumulation` above 1, these four are of the part, and
a learned codebook moves once a part. Everything else is of the batch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from spae.data.datasets.protocol import TrainingData
from spae.distributed import every_row, mean_of_processes, own_rows, shared
from spae.errors import InputError
from spae.training.data_source import draw_step
from spae.training.discriminator_step import DiscriminatorLoss
from spae.training.objective import Learner, Objective, Outcome, Part, StepDraws
from spae.training.precision import Precision
from spae.training.recipe import Recipe
from spae.training.state import State, rates
from spae.training.step_random import Share, step_seed


class Stepper:
    """Takes the steps of a run.

    Args:
        recipe: what a step is.
        accelerator: device and processes.
        precision: of the forward passes.
        state: what changes.
        objective: of encoder and decoder.
        data: batches.

    Raises:
        InputError: a batch that does not divide by processes and parts.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        precision: Precision,
        state: State,
        objective: Objective,
        data: TrainingData,
    ) -> None:
        self._recipe, self._accelerator, self._state, self._data = recipe, accelerator, state, data
        self._precision = precision
        self._processes, self._rank = accelerator.num_processes, accelerator.process_index
        parts = self._processes * recipe.accumulation
        if recipe.batch % parts or recipe.images_drawn % parts:
            raise InputError(
                f"batch {recipe.batch} and drawn {recipe.images_drawn} must be divisible by processes times "
                f"accumulation, {self._processes} x {recipe.accumulation}: set batch, drawn or accumulation"
            )
        self._shares = [
            Share.of(self._rank * recipe.accumulation + part, parts, recipe.images_drawn, recipe.batch)
            for part in range(recipe.accumulation)
        ]
        if self._processes > 1 and state.model.latent_norm is not None:
            share_statistics(state.model.latent_norm)
        self._learner = self._shared(Learner(state.model, objective))
        self._judge: nn.Module | None = None
        if state.judging is not None:
            self._judge = self._shared(DiscriminatorLoss(state.judging.network, recipe, state.judging.lecam))

    def __call__(self, detail: bool) -> dict[str, Tensor]:
        """One step.

        Args:
            detail: whether the terms are to be looked at: then they are means over the batch, and all are there.

        Returns: scalars by name, without gradient, on the device.
        """
        recipe, state, step = self._recipe, self._state, self._state.step
        torch.manual_seed(step_seed(recipe.seed, step))
        rate = recipe.rate(step)
        rates(state.optimizer, rate)
        state.optimizer.zero_grad(set_to_none=True)
        if state.judging is not None:
            rates(state.judging.optimizer, rate * recipe.discriminator_lr / recipe.learning_rate)
            state.judging.optimizer.zero_grad(set_to_none=True)
        terms: list[dict[str, Tensor]] = []
        totals = torch.zeros((), device=self._accelerator.device)
        for number, part in enumerate(self._parts(step, detail)):
            found = self._learn(part, last=number == recipe.accumulation - 1)
            terms.append(found)
            totals = totals + found["loss/total"]
            if "d_total" in found:
                totals = totals + found["d_total"]
        norm = self._move(terms)
        state.average.update(step)
        # Under fp16 a gradient may overflow now and then: the scaler leaves that step out and lowers its scale.
        state.watch.step(step, totals, None if state.scaler is not None else norm)
        state.step += 1
        if not detail:
            return terms[-1]
        return _means(terms) | {"gradient_norm": norm.detach()}

    def _learn(self, part: Part, last: bool) -> dict[str, Tensor]:
        """Gradients of one part, of both players."""
        state = self._state
        with self._quiet(self._learner, last):
            if state.judging is not None:
                # Its own gradient is the other player's: none is wanted of it here.
                state.judging.network.requires_grad_(False)
            with self._precision.autocast():
                outcome: Outcome = self._learner(part)
            self._precision.backward(outcome.total / self._recipe.accumulation)
        if self._judge is None or state.judging is None or outcome.redrawn is None:
            return outcome.terms
        state.judging.network.requires_grad_(True)
        real = part.images[: len(outcome.redrawn)]
        with self._quiet(self._judge, last):
            # R1 is the gradient of a sum of logits, which leaves fp16's range.
            half = state.scaler is None
            with self._precision.autocast() if half else nullcontext():
                verdict = self._judge(real, outcome.redrawn, part.step)
            self._precision.backward(verdict.total / self._recipe.accumulation)
        extra = {"d_total": verdict.total.detach(), "d_real": verdict.real, "d_fake": verdict.fake}
        return outcome.terms | verdict.terms | extra

    def _move(self, terms: list[dict[str, Tensor]]) -> Tensor:
        """Both optimizers; the norm of the model's gradient before clipping."""
        state, scaler = self._state, self._state.scaler
        if scaler is not None:
            scaler.unscale_(state.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), self._recipe.clip)
        judged = state.judging is not None and "d_total" in terms[0]
        for optimizer in [state.optimizer, *([state.judging.optimizer] if judged and state.judging else [])]:
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
        if scaler is not None:
            scaler.update()
        if judged:
            self._judged(terms)
        return norm

    def _judged(self, terms: list[dict[str, Tensor]]) -> None:
        """LeCAM's averages, which the step was computed with, move on; the discriminator is looked at."""
        judging = self._state.judging
        assert judging is not None
        real, fake, loss, accuracy = (
            torch.stack([part[name] for part in terms]).mean()
            for name in ("d_real", "d_fake", "loss/d_gan", "d_accuracy")
        )
        judging.lecam.update(real, fake)
        self._state.watch.judge(loss, accuracy)

    def _parts(self, step: int, detail: bool) -> list[Part]:
        """This process's parts of the batch, with their draws."""
        recipe, device = self._recipe, self._accelerator.device
        whole = recipe.images_drawn == recipe.batch
        start = self._shares[0].drawn.start if whole and self._processes > 1 else 0
        rows = slice(start, self._shares[-1].drawn.stop) if whole and self._processes > 1 else None
        batch, generator = draw_step(self._data, recipe.seed, step, rows)
        draws = StepDraws(recipe, self._state.model.quantizer.pyramid, step, generator)
        images, labels = batch.images.to(device, non_blocking=True), batch.labels.to(device, non_blocking=True)
        parts = []
        for share in self._shares:
            here = share.shifted(start)
            parts.append(Part(step, here.take(images), here.take(labels), draws.of(share), detail))
        return parts

    def _shared(self, module: nn.Module) -> nn.Module:
        """The module, with its gradients averaged over processes where there are several."""
        if self._processes == 1:
            return module
        device = self._accelerator.device
        return DistributedDataParallel(
            module,
            device_ids=[device] if device.type == "cuda" else None,
            # Buffers are alike everywhere by themselves, and a frozen codebook is too large to send every step.
            forward_sync_buffers=False,
            # Steps that train words alone leave the decoder out.
            find_unused_parameters=self._recipe.semantic_warmup_steps > 0,
        )

    def _quiet(self, module: nn.Module, last: bool) -> AbstractContextManager[object]:
        """Gradients go round once a step, with its last part."""
        return nullcontext() if last or not isinstance(module, DistributedDataParallel) else module.no_sync()


def share_statistics(norm: nn.Module) -> None:
    """Let a norm of latents see the rows of all processes while it is in training.

    By hooks, so that the norm is the same module, with the same state, whatever shares its batch.
    """

    def gather(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(every_row(one) for one in inputs) if module.training else inputs

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return own_rows(output) if module.training else output

    norm.register_forward_pre_hook(gather)
    norm.register_forward_hook(keep)


def _means(terms: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Each term's mean over parts and processes; all have the same terms."""
    names = list(terms[0])
    values = torch.stack([torch.stack([part[name].float() for name in names]) for part in terms]).mean(0)
    values = mean_of_processes(values) if shared() else values
    return dict(zip(names, values.unbind(), strict=True))
