"""A frozen masked language model that reads embeddings: LQAE's RoBERTa (arXiv 2302.00902).

B batch, N positions, C width of its embeddings, M masked positions, V0 pieces of its tokenizer.
"""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spae.canonical import sha256_file
from spae.errors import InputError, WeightsError
from spae.vocabulary.causal_lm import AS_IT_IS, model_folder


class FrozenMaskedLm:
    """The language model. Deliberately not a module: nothing that walks over modules trains, saves or averages it.

    Args:
        name: for reports, without folders of this machine.
        model: of transformers, with a masked-language-model head.
        begin, end: token ids around a text.
        mask: id of the mask token.

    Raises:
        WeightsError: its hidden states are not as wide as its embeddings, or it lacks such a head.
    """

    def __init__(self, name: str, model: Any, begin: int, end: int, mask: int) -> None:
        self.name = name
        self._model = model.eval().requires_grad_(False)
        self._head: nn.Module | None = getattr(model, "lm_head", None) or getattr(model, "cls", None)
        self._edges = (begin, end)
        self._mask = mask
        width, hidden = self.embeddings.shape[1], model.config.hidden_size
        if self._head is None or width != hidden:
            raise WeightsError(
                f"{name}: it needs a masked-language-model head and hidden states as wide as its embeddings, got "
                f"widths {hidden} and {width}: use RoBERTa or its like"
            )
        # RoBERTa's table of positions starts after the padding's two.
        self.longest = int(model.config.max_position_embeddings) - 2

    @property
    def embeddings(self) -> Tensor:
        """[V0 or more, C], its input embeddings."""
        return self._model.get_input_embeddings().weight

    def to(self, device: torch.device) -> None:
        """Moves the model; its precision stays float32."""
        self._model.to(device)

    def hidden(self, embeddings: Tensor, masked: Tensor | None = None) -> Tensor:
        """The last hidden states [B, N, C] of a text given as embeddings [B, N, C]; begin and end tokens are added.

        Args:
            embeddings: their gradient passes through the frozen model.
            masked: [B, N] bool, the positions to mask; None masks nothing.

        Raises:
            InputError: the text is longer than the model reads.
        """
        batch, positions, _ = embeddings.shape
        if positions + 2 > self.longest:
            raise InputError(f"{self.name} reads {self.longest - 2} tokens, got {positions}: use a smaller grid")
        table = self.embeddings
        shown = embeddings.to(table.dtype)
        if masked is not None:
            shown = torch.where(masked[..., None], table[self._mask], shown)
        begin, end = (table[edge].expand(batch, 1, -1) for edge in self._edges)
        states = self._model.base_model(inputs_embeds=torch.cat([begin, shown, end], 1)).last_hidden_state
        return states[:, 1:-1].to(embeddings.dtype)

    def logits(self, hidden: Tensor) -> Tensor:
        """[M, C] -> [M, V0], logits over its tokens at the masked positions."""
        assert self._head is not None
        return self._head(hidden)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenMaskedLm:
        return self  # it never changes, and is large


@functools.lru_cache(maxsize=1)
def open_masked_lm(source: str, sha256: str) -> FrozenMaskedLm:
    """The masked language model in a transformers folder, or of a name on the Hugging Face hub.

    The last one is cached: a trainer's model and its averaged copy share it.

    Args:
        sha256: of its weights: those of the model that the codebook is from.

    Raises:
        WeightsError: no such model here or on the hub, or other weights.
    """
    name = Path(source).name if Path(source).is_dir() else source
    folder = model_folder(source)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise WeightsError(f"{name} has no model.safetensors: convert its weights to safetensors")
    found = sha256_file(weights)
    if found != sha256:
        raise WeightsError(
            f"the masked language model must be the one that the words are from, {sha256[:12]}, {name} is "
            f"{found[:12]}: give its folder or name, --set masked_lm_source=..., or the vocabulary made of it"
        )
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **AS_IT_IS)
        with _silent():
            model = AutoModelForMaskedLM.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **AS_IT_IS)
    except Exception as error:  # whatever transformers raises becomes one line
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"{name} cannot be opened as a masked language model ({reason}): use RoBERTa") from error
    ids = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.mask_token_id]
    if None in ids:
        raise WeightsError(f"{name}: its tokenizer needs tokens for begin, end and mask, got {ids}: use RoBERTa")
    return FrozenMaskedLm(name, model, *ids)


@contextlib.contextmanager
def _silent() -> Any:
    """Without transformers' progress bar and its warnings on unused weights."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
