"""Pieces and input embeddings of a language model in one GGUF file.

V0 pieces, C width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spae.errors import WeightsError

EMBEDDINGS = "token_embd.weight"


def read_gguf(file: Path) -> tuple[list[str], Tensor]:
    """The V0 pieces by id, and their embeddings [V0, C] float32, dequantized.

    Raises:
        WeightsError: the file is not the GGUF of a language model.
    """
    from gguf import GGUFReader, dequantize

    try:
        reader = GGUFReader(file)
        pieces = reader.fields["tokenizer.ggml.tokens"].contents()
        tensor = next(tensor for tensor in reader.tensors if tensor.name == EMBEDDINGS)
        matrix = dequantize(tensor.data, tensor.tensor_type)
    except (OSError, ValueError, KeyError, IndexError, StopIteration, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:160] or f"no {EMBEDDINGS}"
        raise WeightsError(f"{file.name} is not the GGUF file of a language model ({reason}): name another") from error
    return list(pieces), torch.from_numpy(matrix.astype(np.float32))
