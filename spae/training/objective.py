"""What encoder and decoder minimise in one step: Eq. 8 and 9 of arXiv 2306.17842.

    appearance = mse + beta commitment + lambda gan + eta perceptual (+ the model's own terms)
    total = appearance + alpha w semantic

LeCAM, the last term of Eq. 8, is the discriminator's (`discriminator_step`). B rows of a part, N positions, C width,
D layers. Images [B, 3, H, W] and clips [B, 3, T, H, W] are treated alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.distributed import every_row, mean_of_processes
from spae.errors import InputError
from spae.losses.adversarial import GanLoss, generator_loss
from spae.losses.appearance import commitment, decoder_input
from spae.losses.semantic import SemanticRandom, dynamic_weight, semantic_loss, semantic_random
from spae.pyramid import Pyramid
from spae.quantizers import Gradient, Quantized
from spae.tokenizers.model import TokenizerModel
from spae.training.recipe import Recipe
from spae.training.step_random import Draws, Rows, Share, Uniform
from spae.training.word_scores import WordScores


@dataclass(frozen=True)
class Part:
    """Rows of a batch, the drawn ones first.

    Attributes:
        step: of the run, from 0.
        images: [B, 3, ...] in [-1, 1].
        labels: [B] classes.
        draws: the chance of these rows.
        detail: whether figures that cost something and only the log shows are wanted.
    """

    step: int
    images: Tensor
    labels: Tensor
    draws: Draws
    detail: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a part.

    Attributes:
        total: to be minimised; a scalar.
        terms: scalars without gradient by name: "loss/NAME" raw, "weighted/NAME" as it stands in the total, and
            others to look at.
        redrawn: [drawn, 3, ...], for the discriminator; None where nothing was drawn.
    """

    total: Tensor
    terms: dict[str, Tensor]
    redrawn: Tensor | None


class Terms:
    """A sum that remembers its terms."""

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
    """The loss of a part of a batch under a recipe.

    Args:
        recipe: weights and shares of the terms.
        words: what the semantic loss goes by; None where there is none.
        perceptual: a distance of two batches of images; None where there is none.
        judge: the discriminator, images to logits; None where there is none.
        gan: the game that is played with it.
    """

    recipe: Recipe
    words: WordScores | None = None
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
    judge: Callable[[Tensor], Tensor] | None = None
    gan: GanLoss = "logistic"

    def __call__(self, model: TokenizerModel, part: Part) -> Outcome:
        """Args: a model in training, and its part of a step's batch. The mean over parts is the batch's loss."""
        recipe = self.recipe
        z = model.latents(part.images)
        if part.step < recipe.semantic_warmup_steps:
            terms = Terms()
            terms.add("semantic", self._semantic(model, z, None, part))
            return _outcome(terms, {"z_norm": z.detach().norm(dim=-1).mean()}, None)
        if part.draws.depths is None:
            raise InputError(f"step {part.step} draws images, and no depths were drawn for it")
        # The first rows are drawn again; all are read for their words.
        depths = part.draws.depths
        wanted, drawn_part = part.images[: len(depths)], z[: len(depths)]
        quantized = model.quantizer(drawn_part)
        inputs = decoder_input(quantized, depths.to(z.device))
        redrawn, own = model.reconstruct(inputs, quantized, part.draws.uniform)
        redrawn = redrawn.float()
        terms = Terms()
        terms.add("mse", F.mse_loss(redrawn, wanted))
        terms.add("commitment", commitment(drawn_part, quantized), recipe.beta)
        if isinstance(model.quantizer.learning, Gradient):
            terms.add("codebook", model.quantizer.codebook_loss(quantized))
        if self.judge is not None:
            terms.add("gan", generator_loss(self.judge(redrawn), self.gan), recipe.gan_weight)
        if self.perceptual is not None:
            terms.add("perceptual", self.perceptual(as_images(wanted), as_images(redrawn)), recipe.perceptual_weight)
        for name, value in own.items():
            terms.add(name, value, float(getattr(recipe, f"{name}_weight")))
        notes: dict[str, Tensor] = {}
        if self.words is not None:
            weight = self._add_semantic(terms, self._semantic(model, z, quantized, part))
            notes["semantic_weight"] = recipe.alpha * weight
        if part.detail:
            notes |= _notes(z, quantized, redrawn, wanted, depths, len(model.quantizer.codebook))
        return _outcome(terms, notes, redrawn.detach())

    def _add_semantic(self, terms: Terms, semantic: Tensor) -> Tensor:
        """The semantic term at its weight of Eq. 9, which is returned."""
        recipe = self.recipe
        weight = torch.ones_like(semantic)
        if recipe.dynamic_weight:
            # The ratio of the whole batch. Of the first term of Eq. 8, where commitment, which grows with z, is to
            # stay out of the weight that makes z grow.
            appearance = terms.named["loss/mse"] if recipe.semantic_weight_reference == "mse" else terms.total
            assert appearance is not None
            whole = mean_of_processes(torch.stack([appearance.detach(), semantic.detach()]))
            weight = dynamic_weight(whole[0], whole[1], recipe.semantic_weight_min, recipe.semantic_weight_max)
        terms.add("semantic", semantic, recipe.alpha * weight)
        return weight

    def _semantic(self, model: TokenizerModel, z: Tensor, drawn: Quantized | None, part: Part) -> Tensor:
        """The semantic loss of all rows; only the layers that it needs are looked up where that was not done yet."""
        table, draws = model.quantizer.table, part.draws.semantic
        if self.words is None or table is None or draws is None:
            raise InputError(
                "a semantic loss needs words, which a learned codebook has none of: leave thresholds empty"
            )
        pools, rows = self.words.pools(part.images, part.labels)
        targets: tuple[Tensor, ...] = ()
        done = 0
        if drawn is not None:
            targets, done = drawn.targets[: len(pools)], len(drawn.ids[0])
        if done < len(z):
            rest = model.quantizer(z[done:], depth=len(pools)).targets
            targets = tuple(torch.cat(pair) for pair in zip(targets, rest, strict=True)) if targets else rest
        return semantic_loss(targets, pools, rows, table, draws)


class StepDraws:
    """The chance of one step for the whole batch, in the order in which recipes have always drawn it.

    Args:
        recipe: shares and sizes.
        pyramid: the layers that there are to draw from.
        step: of the run.
        generator: of the step; the data may have drawn from it.
    """

    def __init__(self, recipe: Recipe, pyramid: Pyramid, step: int, generator: torch.Generator) -> None:
        drawn = 0 if step < recipe.semantic_warmup_steps else recipe.images_drawn
        self.depths = prefix_depths(drawn, pyramid.depth, recipe.layer_dropout, generator) if drawn else None
        self.semantic: SemanticRandom | None = None
        if recipe.thresholds:
            sizes = [math.prod(grid) for grid in pyramid.layers[: len(recipe.thresholds)]]
            self.semantic = semantic_random(sizes, recipe.batch, recipe.semantic_positions, recipe.target, generator)
        self._rows = Rows(generator, drawn)

    def of(self, share: Share) -> Draws:
        """What falls to a share of the batch."""
        semantic = self.semantic
        if semantic is not None:
            words = tuple(None if one is None else share.take(one) for one in semantic.words)
            semantic = SemanticRandom(semantic.positions, words)
        depths = None if self.depths is None else self.depths[share.drawn]
        return Draws(depths, semantic, Uniform(self._rows, share.drawn))


class Learner(nn.Module):
    """A model and its objective as one module, so that all that makes gradients is one call.

    Args:
        model: the only part with parameters.
        objective: no module: what it holds is frozen, or somebody else's to train.
    """

    def __init__(self, model: TokenizerModel, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, part: Part) -> Outcome:
        return self.objective(self.model, part)


def prefix_depths(images: int, depth: int, share: float, generator: torch.Generator) -> Tensor:
    """[images] layers to draw each from: all of them, for a share of the images fewer."""
    depths = torch.full((images,), depth)
    if depth == 1:
        return depths
    partial = torch.rand(images, generator=generator) < share
    return torch.where(partial, torch.randint(1, depth, (images,), generator=generator), depths)


def as_images(images: Tensor) -> Tensor:
    """Clips [B, 3, T, H, W] as their frames [B T, 3, H, W]; images as they are."""
    return images.transpose(1, 2).flatten(0, 1) if images.ndim == 5 else images


def _outcome(terms: Terms, notes: dict[str, Tensor], redrawn: Tensor | None) -> Outcome:
    assert terms.total is not None
    return Outcome(terms.total, terms.named | {"loss/total": terms.total.detach()} | notes, redrawn)


@torch.no_grad()
def _notes(
    z: Tensor, quantized: Quantized, redrawn: Tensor, wanted: Tensor, depths: Tensor, words: int
) -> dict[str, Tensor]:
    """What the log shows beside the losses."""
    used = torch.zeros(1, words, dtype=torch.uint8, device=z.device)
    used[0, torch.cat([ids.flatten() for ids in quantized.ids])] = 1
    errors = (redrawn - wanted).square().flatten(1).mean(1)
    whole = (depths == len(quantized.embeddings)).to(errors)
    of_whole, count, of_all = mean_of_processes(torch.stack([(errors * whole).sum(), whole.sum(), errors.mean()]))
    return {
        "z_norm": z.norm(dim=-1).mean(),
        "words_used": every_row(used).amax(0).sum().float(),
        # Where chance had none drawn from all layers, of those there are.
        "mse_all_layers": torch.where(count > 0, of_whole / count.clamp(min=1e-6), of_all),
    }
