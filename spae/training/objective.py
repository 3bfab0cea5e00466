"""The loss of encoder and decoder: Eq. 8 and 9 of arXiv 2306.17842.

    appearance = mse + beta commitment + lambda gan + eta perceptual (+ the model's own terms)
    total = appearance + alpha w semantic

LeCAM, the last term of Eq. 8, is the discriminator's (`discriminator_step`). B rows of a microbatch, N positions, C
width, D layers. Images [B, 3, H, W] and videos [B, 3, T, H, W] are treated alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.distributed import all_gather, all_reduce_mean
from spae.errors import InputError
from spae.losses.adversarial import GanLoss, generator_loss
from spae.losses.appearance import commitment, decoder_input
from spae.losses.semantic import dynamic_weight, semantic_loss
from spae.quantizers import Gradient, Quantized
from spae.tokenizers.model import TokenizerModel
from spae.training.recipe import Recipe
from spae.training.step_random import ShardRandom
from spae.training.word_scores import WordScores


@dataclass(frozen=True)
class Microbatch:
    """Rows of a batch, the decoded ones first.

    Attributes:
        step: of the run, from 0.
        images: [B, 3, ...] in [-1, 1].
        labels: [B] classes.
        random: the randomness of these rows.
        detail: whether to compute metrics that only the log shows.
    """

    step: int
    images: Tensor
    labels: Tensor
    random: ShardRandom
    detail: bool = False


@dataclass(frozen=True)
class LossResult:
    """The loss of a microbatch.

    Attributes:
        total: to be minimised; a scalar.
        terms: scalars without gradient by name: "loss/NAME" raw, "weighted/NAME" as it stands in the total, and
            other metrics.
        decoded: [decoded, 3, ...], for the discriminator; None in steps that decode nothing.
    """

    total: Tensor
    terms: dict[str, Tensor]
    decoded: Tensor | None


class LossTerms:
    """A weighted sum that keeps its terms by name."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.named: dict[str, Tensor] = {}

    def add(self, name: str, value: Tensor, weight: float | Tensor = 1.0) -> None:
        weighted = value * weight if isinstance(weight, Tensor) or weight != 1 else value
        self.total = weighted if self.total is None else self.total + weighted
        self.named[f"loss/{name}"] = value.detach()
        self.named[f"weighted/{name}"] = weighted.detach()


@dataclass(frozen=True)
class Objective:
    """The loss of a microbatch under a recipe.

    Args:
        recipe: weights of the terms.
        words: scores of the semantic loss; None without one.
        perceptual: a distance of two batches of images; None without a perceptual loss.
        discriminator: images to logits; None without a GAN loss.
        gan: kind of the GAN loss.
    """

    recipe: Recipe
    words: WordScores | None = None
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
    discriminator: Callable[[Tensor], Tensor] | None = None
    gan: GanLoss = "logistic"

    def __call__(self, model: TokenizerModel, part: Microbatch) -> LossResult:
        """Args: a model in training mode, and a microbatch. The mean over microbatches is the batch's loss."""
        recipe, appearance = self.recipe, self.recipe.appearance
        z = model.latents(part.images)
        if part.step < recipe.semantics.semantic_warmup_steps:
            terms = LossTerms()
            terms.add("semantic", self._semantic(model, z, None, part))
            return _result(terms, {"z_norm": z.detach().norm(dim=-1).mean()}, None)
        if part.random.depths is None:
            raise InputError(f"step {part.step} decodes images, and no depths were sampled for it")
        # The first rows are decoded; all count for the semantic loss.
        depths = part.random.depths
        wanted, z_decoded = part.images[: len(depths)], z[: len(depths)]
        quantized = model.quantizer(z_decoded)
        inputs = decoder_input(quantized, depths.to(z.device))
        decoded, own = model.reconstruct(inputs, quantized, part.random.uniform)
        decoded = decoded.float()
        terms = LossTerms()
        terms.add("mse", F.mse_loss(decoded, wanted))
        terms.add("commitment", commitment(z_decoded, quantized), appearance.commitment_weight)
        if isinstance(model.quantizer.learning, Gradient):
            terms.add("codebook", model.quantizer.codebook_loss(quantized))
        if self.discriminator is not None:
            terms.add("gan", generator_loss(self.discriminator(decoded), self.gan), appearance.gan_weight)
        if self.perceptual is not None:
            terms.add(
                "perceptual", self.perceptual(as_images(wanted), as_images(decoded)), appearance.perceptual_weight
            )
        for name, value in own.items():
            terms.add(name, value, float(getattr(appearance, f"{name}_weight")))
        notes: dict[str, Tensor] = {}
        if self.words is not None:
            weight = self._add_semantic(terms, self._semantic(model, z, quantized, part))
            notes["semantic_weight"] = recipe.semantics.semantic_weight * weight
        if part.detail:
            notes |= _notes(z, quantized, decoded, wanted, depths, len(model.quantizer.codebook))
        return _result(terms, notes, decoded.detach())

    def _add_semantic(self, terms: LossTerms, semantic: Tensor) -> Tensor:
        """Add the semantic term at its weight of Eq. 9; returns that weight."""
        semantics = self.recipe.semantics
        weight = torch.ones_like(semantic)
        if semantics.dynamic_weight:
            # A ratio over the whole batch. With the mse alone, commitment, which grows with z, stays out of the
            # weight that makes z grow.
            appearance = terms.named["loss/mse"] if semantics.semantic_weight_reference == "mse" else terms.total
            assert appearance is not None
            whole = all_reduce_mean(torch.stack([appearance.detach(), semantic.detach()]))
            weight = dynamic_weight(whole[0], whole[1], semantics.semantic_weight_min, semantics.semantic_weight_max)
        terms.add("semantic", semantic, semantics.semantic_weight * weight)
        return weight

    def _semantic(self, model: TokenizerModel, z: Tensor, quantized: Quantized | None, part: Microbatch) -> Tensor:
        """The semantic loss of all rows; rows that are not decoded are quantized for the layers it needs."""
        table, draws = model.quantizer.table, part.random.semantic
        if self.words is None or table is None or draws is None:
            raise InputError(
                "a semantic loss needs words, a learned codebook has none: leave semantics.thresholds empty"
            )
        pools, rows = self.words.pools(part.images, part.labels)
        targets: tuple[Tensor, ...] = ()
        done = 0
        if quantized is not None:
            targets, done = quantized.targets[: len(pools)], len(quantized.ids[0])
        if done < len(z):
            rest = model.quantizer(z[done:], depth=len(pools)).targets
            targets = tuple(torch.cat(pair) for pair in zip(targets, rest, strict=True)) if targets else rest
        return semantic_loss(targets, pools, rows, table, draws)


class TrainingModule(nn.Module):
    """A model and its objective as one module: one forward call computes everything that has gradients.

    Args:
        model: the only part with parameters.
        objective: no module: its networks are frozen, or trained by another module.
    """

    def __init__(self, model: TokenizerModel, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, part: Microbatch) -> LossResult:
        return self.objective(self.model, part)


def as_images(images: Tensor) -> Tensor:
    """Videos [B, 3, T, H, W] as their frames [B T, 3, H, W]; images unchanged."""
    return images.transpose(1, 2).flatten(0, 1) if images.ndim == 5 else images


def _result(terms: LossTerms, notes: dict[str, Tensor], decoded: Tensor | None) -> LossResult:
    assert terms.total is not None
    return LossResult(terms.total, terms.named | {"loss/total": terms.total.detach()} | notes, decoded)


@torch.no_grad()
def _notes(
    z: Tensor, quantized: Quantized, decoded: Tensor, wanted: Tensor, depths: Tensor, words: int
) -> dict[str, Tensor]:
    """Metrics that the log shows beside the losses."""
    used = torch.zeros(1, words, dtype=torch.uint8, device=z.device)
    used[0, torch.cat([ids.flatten() for ids in quantized.ids])] = 1
    errors = (decoded - wanted).square().flatten(1).mean(1)
    whole = (depths == len(quantized.embeddings)).to(errors)
    of_whole, count, of_all = all_reduce_mean(torch.stack([(errors * whole).sum(), whole.sum(), errors.mean()]))
    return {
        "z_norm": z.norm(dim=-1).mean(),
        "words_used": all_gather(used).amax(0).sum().float(),
        # Over all images if none of the batch is decoded from all layers.
        "mse_all_layers": torch.where(count > 0, of_whole / count.clamp(min=1e-6), of_all),
    }
