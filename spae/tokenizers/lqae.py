"""LQAE, the baseline that encodes images as RoBERTa's words (Liu et al., arXiv 2302.00902).

B batch, N positions, C width, V words, M masked positions of a batch.

    images -> ViT -> z [B, N, C] -> nearest words by angle -> RoBERTa, half masked -> hidden states -> ViT -> images

Its loss is MSE + 0.005 commitment + 1e-4 cross entropy of the masked words. In evaluation nothing is masked.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from spae.errors import WeightsError
from spae.networks import Autoencoder
from spae.quantizers import Quantized, Quantizer
from spae.tokenizers.masked_lm import FrozenMaskedLm
from spae.tokenizers.model import TokenizerModel, Uniform


class LqaeModel(TokenizerModel):
    """Images to words and back through a frozen masked language model.

    The language model is not a submodule: it has no gradients and is in no state dict.

    Args:
        autoencoder: encoder and decoder, both of the language model's width.
        quantizer: one layer of frozen words, compared by angle.
        language: the language model.
        tokens: [V] its own id of each word of the codebook.
        mask_ratio: part of the positions masked in training, in [0, 1].

    Raises:
        WeightsError: the codebook is not the language model's embeddings.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        quantizer: Quantizer,
        language: FrozenMaskedLm,
        tokens: Tensor,
        mask_ratio: float = 0.5,
    ) -> None:
        super().__init__(autoencoder, quantizer)
        table = language.embeddings
        if int(tokens.max()) >= len(table) or not table[tokens].equal(quantizer.codebook):
            raise WeightsError(
                f"the codebook must be {language.name}'s own embeddings: use the vocabulary of that model"
            )
        self.mask_ratio = mask_ratio
        self._language = language
        self.register_buffer("tokens", tokens.clone(), persistent=False)

    tokens: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LqaeModel:
        # `to` and `cuda` call this: the language model moves along, but keeps its precision.
        super()._apply(fn, recurse)
        self._language.to(self.tokens.device)
        return self

    def decode(self, embeddings: Tensor) -> Tensor:
        """[B, N, C] -> [B, 3, H, W]: nothing masked, as in evaluation."""
        return super().decode(self._language.hidden(embeddings))

    def reconstruct(
        self, embeddings: Tensor, quantized: Quantized, uniform: Uniform
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Images from words of which `mask_ratio` are masked, and `masked_lm`, the cross entropy of the masked ones.

        The gradient of both flows through the language model to its input words, and on to the encoder.
        """
        ids = self.tokens[quantized.ids[0]]
        count = max(1, round(self.mask_ratio * ids.shape[1]))
        # The positions with the lowest numbers: as many in every image.
        masked = torch.zeros_like(ids, dtype=torch.bool)
        masked.scatter_(1, uniform(ids.shape[1]).to(ids.device).argsort(1)[:, :count], True)
        hidden = self._language.hidden(embeddings, masked)
        loss = F.cross_entropy(self._language.logits(hidden[masked]).float(), ids[masked])
        return super().decode(hidden), {"masked_lm": loss}
