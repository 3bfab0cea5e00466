"""One step of training, on accelerate: shards of a batch, gradients of model and discriminator, averages.

`batch_size` is that of the whole batch over all processes; each microbatch is a shard of it.

Statistics of a batch that enter its loss are reduced over processes: LatentNorm's mean and spread, the averages behind
a learned codebook, the dynamic weight, LeCAM's means. So two processes take the steps of one. Microbatches come one
after the other: with `gradient_accumulation_steps` above 1 these four are of the microbatch, and a learned codebook
moves once a microbatch. Everything else is of the batch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from spae.data.datasets.protocol import TrainingData
from spae.distributed import all_gather, all_reduce_mean, local_rows
from spae.errors import InputError
from spae.training.data_source import sample_step
from spae.training.discriminator_step import DiscriminatorLoss
from spae.training.objective import LossResult, Microbatch, Objective, TrainingModule
from spae.training.precision import Precision
from spae.training.recipe import Recipe
from spae.training.state import DiscriminatorState, TrainingState, set_learning_rate
from spae.training.step_random import BatchShard, StepRandom, step_seed


class Stepper:
    """Takes the steps of a run.

    Args:
        recipe: of the run.
        accelerator: device and processes.
        precision: of the forward passes.
        state: changed by every step.
        objective: of encoder and decoder.
        data: batches.

    Raises:
        InputError: the batch is not divisible by processes times microbatches.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        precision: Precision,
        state: TrainingState,
        objective: Objective,
        data: TrainingData,
    ) -> None:
        self._recipe, self._accelerator, self._state, self._data = recipe, accelerator, state, data
        self._precision = precision
        self._processes, self._rank = accelerator.num_processes, accelerator.process_index
        self._microbatches = recipe.optimizer.gradient_accumulation_steps
        check_shards(recipe, self._processes)
        shards = self._processes * self._microbatches
        decoded, size = recipe.data.images_decoded, recipe.data.batch_size
        first = self._rank * self._microbatches
        self._shards = [BatchShard.of(first + i, shards, decoded, size) for i in range(self._microbatches)]
        if self._processes > 1 and state.model.latent_norm is not None:
            reduce_statistics(state.model.latent_norm)
        self._module = self._wrapped(TrainingModule(state.model, objective))
        self._discriminator: nn.Module | None = None
        if state.discriminator is not None:
            loss = DiscriminatorLoss(state.discriminator.network, recipe, state.discriminator.lecam)
            self._discriminator = self._wrapped(loss)

    def __call__(self, detail: bool) -> dict[str, Tensor]:
        """One step.

        Args:
            detail: whether to compute every term, as a mean over the batch, for the log.

        Returns: scalars by name, without gradient, on the device.
        """
        optimizer, state, step = self._recipe.optimizer, self._state, self._state.step
        torch.manual_seed(step_seed(optimizer.seed, step))
        rate = optimizer.rate(step)
        set_learning_rate(state.optimizer, rate)
        state.optimizer.zero_grad(set_to_none=True)
        if state.discriminator is not None:
            discriminator_rate = rate * optimizer.discriminator_lr / optimizer.learning_rate
            set_learning_rate(state.discriminator.optimizer, discriminator_rate)
            state.discriminator.optimizer.zero_grad(set_to_none=True)
        terms: list[dict[str, Tensor]] = []
        totals = torch.zeros((), device=self._accelerator.device)
        for number, part in enumerate(self._load(step, detail)):
            found = self._backward(part, last=number == self._microbatches - 1)
            terms.append(found)
            totals = totals + found["loss/total"]
            if "d_total" in found:
                totals = totals + found["d_total"]
        norm = self._update(terms)
        state.average.update(step)
        # Under fp16 a gradient may overflow now and then: the scaler leaves that step out and lowers its scale.
        state.health.step(step, totals, None if state.scaler is not None else norm)
        state.step += 1
        if not detail:
            return terms[-1]
        return _means(terms) | {"gradient_norm": norm.detach()}

    def _backward(self, part: Microbatch, last: bool) -> dict[str, Tensor]:
        """Gradients of one microbatch, of model and discriminator."""
        state = self._state
        with self._no_sync(self._module, last):
            if state.discriminator is not None:
                # The generator's loss is not to move the discriminator.
                state.discriminator.network.requires_grad_(False)
            with self._precision.autocast():
                loss: LossResult = self._module(part)
            self._precision.backward(loss.total / self._microbatches)
        if self._discriminator is None or state.discriminator is None or loss.decoded is None:
            return loss.terms
        state.discriminator.network.requires_grad_(True)
        real = part.images[: len(loss.decoded)]
        with self._no_sync(self._discriminator, last):
            # R1 is the gradient of a sum of logits, which leaves fp16's range.
            half = state.scaler is None
            with self._precision.autocast() if half else nullcontext():
                found = self._discriminator(real, loss.decoded, part.step)
            self._precision.backward(found.total / self._microbatches)
        extra = {"d_total": found.total.detach(), "d_real": found.real, "d_fake": found.fake}
        return loss.terms | found.terms | extra

    def _update(self, terms: list[dict[str, Tensor]]) -> Tensor:
        """Step both optimizers; returns the norm of the model's gradient before clipping."""
        state, scaler = self._state, self._state.scaler
        if scaler is not None:
            scaler.unscale_(state.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), self._recipe.optimizer.max_grad_norm)
        trained = state.discriminator if "d_total" in terms[0] else None
        for optimizer in [state.optimizer, *([] if trained is None else [trained.optimizer])]:
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
        if scaler is not None:
            scaler.update()
        if trained is not None:
            self._update_averages(trained, terms)
        return norm

    def _update_averages(self, discriminator: DiscriminatorState, terms: list[dict[str, Tensor]]) -> None:
        """Update LeCAM's averages, after the step that used them, and the discriminator's health."""
        real, fake, loss, accuracy = (
            torch.stack([part[name] for part in terms]).mean()
            for name in ("d_real", "d_fake", "loss/d_gan", "d_accuracy")
        )
        discriminator.lecam.update(real, fake)
        self._state.health.discriminator_step(loss, accuracy)

    def _load(self, step: int, detail: bool) -> list[Microbatch]:
        """This process's microbatches, with their randomness."""
        recipe, device = self._recipe, self._accelerator.device
        # Shards are contiguous if all rows are decoded: then a process loads its own rows alone.
        own = self._processes > 1 and recipe.data.images_decoded == recipe.data.batch_size
        start = self._shards[0].decoded.start if own else 0
        rows = slice(start, self._shards[-1].decoded.stop) if own else None
        batch, generator = sample_step(self._data, recipe.optimizer.seed, step, rows)
        random = StepRandom(recipe, self._state.model.quantizer.pyramid, step, generator)
        images, labels = batch.images.to(device, non_blocking=True), batch.labels.to(device, non_blocking=True)
        parts = []
        for shard in self._shards:
            here = shard.shifted(start)
            parts.append(Microbatch(step, here.take(images), here.take(labels), random.shard(shard), detail))
        return parts

    def _wrapped(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over processes if there are several."""
        if self._processes == 1:
            return module
        device = self._accelerator.device
        return DistributedDataParallel(
            module,
            device_ids=[device] if device.type == "cuda" else None,
            # Buffers stay equal by themselves, and a frozen codebook is too large to send every step.
            forward_sync_buffers=False,
            # Steps of the semantic warm-up leave the decoder out.
            find_unused_parameters=self._recipe.semantics.semantic_warmup_steps > 0,
        )

    def _no_sync(self, module: nn.Module, last: bool) -> AbstractContextManager[object]:
        """Gradients are reduced once a step, with its last microbatch."""
        return nullcontext() if last or not isinstance(module, DistributedDataParallel) else module.no_sync()


def check_shards(recipe: Recipe, processes: int) -> None:
    """Raises InputError if the batch is not divisible by processes times microbatches."""
    microbatches, decoded, size = (
        recipe.optimizer.gradient_accumulation_steps, recipe.data.images_decoded, recipe.data.batch_size,
    )  # fmt: skip
    if size % (processes * microbatches) or decoded % (processes * microbatches):
        raise InputError(
            f"batch_size {size} and decode_batch_size {decoded} must be divisible by processes times "
            f"gradient_accumulation_steps, {processes} x {microbatches}: change one of them"
        )


def reduce_statistics(norm: nn.Module) -> None:
    """Let a norm of latents see the rows of all processes in training.

    By hooks, so that the norm is the same module with the same state, however many processes share its batch.
    """

    def gather(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(all_gather(one) for one in inputs) if module.training else inputs

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return local_rows(output) if module.training else output

    norm.register_forward_pre_hook(gather)
    norm.register_forward_hook(keep)


def _means(terms: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Each term's mean over microbatches and processes; all have the same terms."""
    names = list(terms[0])
    values = torch.stack([torch.stack([part[name].float() for name in names]) for part in terms]).mean(0)
    return dict(zip(names, all_reduce_mean(values).unbind(), strict=True))
