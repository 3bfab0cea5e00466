"""One training step's loss: Eq. 8 and 9 of arXiv 2306.17842 without GAN and perceptual terms.

B batch, R side in pixels, D layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spae.losses.appearance import commitment, decoder_input
from spae.losses.semantic import Pool, dynamic_weight, semantic_loss
from spae.quantizers import StreamingAverageQuantizer
from spae.tokenizers.model import TokenizerModel
from spae.training.recipe import Recipe


@dataclass(frozen=True)
class Objective:
    """The loss of a batch under a recipe.

    Args:
        recipe: weights and shares of the terms.
        pools: one per semantic layer; none where there is no semantic loss.
    """

    recipe: Recipe
    pools: tuple[Pool, ...]

    def __call__(
        self, model: TokenizerModel, pictures: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The total to minimise, and every term by its name (raw, and the weight in use).

        Args:
            pictures: [B, 3, R, R] in [-1, 1].
            labels: [B] rows of the pools.
            generator: chooses depths and positions.
        """
        recipe = self.recipe
        z = model.latents(pictures)
        # The first part of the batch is drawn again; all of it is read for its words.
        drawn_part = z[: recipe.drawn]
        quantized = model.quantizer(drawn_part)
        depths = self._depths(len(drawn_part), len(quantized.embeddings), generator)
        redrawn = model.decode(decoder_input(quantized, depths.to(z.device))).float()
        mse = F.mse_loss(redrawn, pictures[: recipe.drawn])
        commit = commitment(drawn_part, quantized)
        total = mse + recipe.beta * commit
        used = torch.cat([ids.flatten() for ids in quantized.ids]).unique().numel()
        full = depths == len(quantized.embeddings)
        full_mse = F.mse_loss(redrawn[full], pictures[: recipe.drawn][full]).item() if full.any() else mse.item()
        terms = {
            "mse_all_layers": full_mse,
            "words_used": float(used),
            "mse": mse.item(),
            "commitment": commit.item(),
            "z_norm": z.detach().norm(dim=-1).mean().item(),
        }
        if self.pools and isinstance(model.quantizer, StreamingAverageQuantizer):
            targets: tuple[Tensor, ...] = quantized.targets[: len(self.pools)]
            if len(z) > recipe.drawn:
                rest = model.quantizer(z[recipe.drawn :], depth=len(self.pools)).targets
                targets = tuple(torch.cat(pair) for pair in zip(targets, rest, strict=True))
            semantic = semantic_loss(
                targets, self.pools, labels, model.quantizer.table, recipe.semantic_positions, generator
            )
            # Commitment stays out of the ratio: it grows with z and would feed the weight that makes z grow.
            weight = dynamic_weight(mse, semantic, recipe.weight_low, recipe.weight_high)
            total = total + recipe.alpha * weight * semantic
            terms |= {"semantic": semantic.item(), "semantic_weight": recipe.alpha * weight.item()}
        terms["total"] = total.item()
        return total, terms

    def _depths(self, pictures: int, depth: int, generator: torch.Generator) -> Tensor:
        """[pictures] layers to draw each from: all of them, for a share of the pictures fewer."""
        depths = torch.full((pictures,), depth)
        if depth == 1:
            return depths
        partial = torch.rand(pictures, generator=generator) < self.recipe.prefix_share
        return torch.where(partial, torch.randint(1, depth, (pictures,), generator=generator), depths)
