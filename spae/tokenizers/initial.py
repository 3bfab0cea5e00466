"""Where a run begins: the weights of a trained model, an image model's inflated for clips where that is asked.

A video SPAE begins with an image SPAE (appendix B.1 of arXiv 2306.17842).
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from spae.errors import ShapeError, WeightsError
from spae.networks.inflate import Inflation, inflate
from spae.tokenizers.model import TokenizerModel
from spae.tokenizers.pretrained import committed_folder
from spae.vocabulary import LexicalVocabulary


def load_initial(
    model: TokenizerModel, vocabulary: LexicalVocabulary, source: str, inflation: Inflation | None = None
) -> None:
    """Gives `model` the weights in `source`; a learned codebook keeps its averages where `source` has none.

    Args:
        model: as `build_model` makes it.
        vocabulary: the model's.
        source: a folder that `python -m spae train` wrote, a checkpoint of a run (its averaged weights are taken), or
            the name of committed weights ("picto_spae").
        inflation: how kernels of images become kernels of clips; None where both are of one kind.

    Raises:
        WeightsError: there are no such weights, they were trained for other words, or do not fit the model.
    """
    file = initial_file(source)
    if file is None:
        raise WeightsError(
            f"initial must be a folder that `python -m spae train` wrote or a checkpoint, there is none at {source}: "
            "--set initial=FOLDER"
        )
    config = file.parent / "config.json"
    if model.quantizer.table is not None and config.is_file():
        known = json.loads(config.read_text("utf-8")).get("vocabulary_sha256")
        if known != vocabulary.fingerprint:
            raise WeightsError(
                f"initial {source} was trained for other words ({str(known)[:12]}, these are "
                f"{vocabulary.fingerprint[:12]}): use the same vocabulary, --set vocabulary=..."
            )
    try:
        state = _weights(file)
        state = inflate(state, inflation) if inflation else state
    except (OSError, SafetensorError, ShapeError) as error:
        raise WeightsError(f"initial {source} cannot be read ({' '.join(str(error).split())[:160]})") from error
    wanted = model.state_dict()
    optional = {f"quantizer.{name}" for name in model.quantizer.TRAINING_ONLY}
    wrong = [name for name in sorted(wanted.keys() ^ state.keys()) if name not in optional]
    wrong += [name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape]
    if wrong:
        shapes = [str(tuple(of[wrong[0]].shape)) if wrong[0] in of else "nothing" for of in (state, wanted)]
        raise WeightsError(
            f"initial {source} is of another shape: {wrong[0]} is {shapes[0]} there, {shapes[1]} here: use the same "
            "network, quantizer and latent_scale, and inflation=central for clips from images"
        )
    model.load_state_dict(state, strict=False)


def initial_file(source: str) -> Path | None:
    """The file that `load_initial` would read; None where there is none."""
    path = committed_folder(source) or Path(source)
    file = path / "model.safetensors" if path.is_dir() else path
    return file if file.is_file() else None


def _weights(file: Path) -> dict[str, Tensor]:
    """The state dict in a model's file, or the averaged one in a checkpoint."""
    with safe_open(file, framework="pt") as tensors:
        names = list(tensors.keys())
        prefix = "ema/" if any(name.startswith("ema/") for name in names) else ""
        return {
            name.removeprefix(prefix): tensors.get_tensor(name).float() for name in names if name.startswith(prefix)
        }
