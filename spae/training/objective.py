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
        z, quantized = model.encode(pictures)
        depth = len(quantized.embeddings)
        depths = torch.full((len(pictures),), depth)
        if depth > 1:
            partial = torch.rand(len(pictures), generator=generator) < recipe.prefix_share
            depths = torch.where(partial, torch.randint(1, depth, (len(pictures),), generator=generator), depths)
        drawn = model.decode(decoder_input(quantized, depths.to(z.device))).float()
        mse = F.mse_loss(drawn, pictures)
        commit = commitment(z, quantized)
        total = mse + recipe.beta * commit
        terms = {"mse": mse.item(), "commitment": commit.item(), "z_norm": z.detach().norm(dim=-1).mean().item()}
        if self.pools and isinstance(model.quantizer, StreamingAverageQuantizer):
            quantizer = model.quantizer
            semantic = semantic_loss(
                quantized.targets, self.pools, labels, quantizer.codebook, quantizer.norms,
                recipe.semantic_positions, generator,
            )  # fmt: skip
            # Commitment stays out of the ratio: it grows with z and would feed the weight that makes z grow.
            weight = dynamic_weight(mse, semantic, recipe.weight_low, recipe.weight_high)
            total = total + recipe.alpha * weight * semantic
            terms |= {"semantic": semantic.item(), "semantic_weight": recipe.alpha * weight.item()}
        terms["total"] = total.item()
        return total, terms
