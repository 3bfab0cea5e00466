"""Weights that a run starts from: a trained model's; a video model may start from an image model's, inflated.

A video SPAE starts from an image SPAE (appendix B.1 of arXiv 2306.17842).
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from spae.errors import ShapeError, WeightsError
from spae.networks.inflate import Inflation, inflate
from spae.tokenizers.model import TokenizerModel
from spae.tokenizers.model_folder import committed_folder, load_config
from spae.vocabulary import LexicalVocabulary
from spae.weights_file import names_in, read_weights


def load_init_weights(
    model: TokenizerModel, vocabulary: LexicalVocabulary, source: str, inflation: Inflation | None = None
) -> None:
    """Load the weights in `source` into `model`; a learned codebook keeps its running averages if `source` has none.

    Args:
        model: as `build_model` makes it.
        vocabulary: the model's.
        source: a folder that `python -m spae train` wrote, a checkpoint of a run (its averaged weights are taken), or
            the name of committed weights ("picto_spae").
        inflation: how kernels of images become kernels of videos; None if both models are of one kind.

    Raises:
        WeightsError: no such weights, weights of another vocabulary, or of another shape.
    """
    file = init_weights_file(source)
    if file is None:
        raise WeightsError(
            f"init_from must be a folder that `python -m spae train` wrote or a checkpoint, there is none at {source}: "
            "--set optimizer.init_from=FOLDER"
        )
    if model.quantizer.table is not None and (file.parent / "config.json").is_file():
        known = load_config(file.parent).vocabulary_sha256
        if known != vocabulary.fingerprint:
            raise WeightsError(
                f"init_from {source} was trained for another vocabulary ({known[:12]}, this is "
                f"{vocabulary.fingerprint[:12]}): use the same one, --set model.vocabulary=NAME"
            )
    try:
        state = _weights(file)
        state = inflate(state, inflation) if inflation else state
    except (OSError, ValueError, ShapeError) as error:
        raise WeightsError(f"init_from {source} cannot be read ({' '.join(str(error).split())[:160]})") from error
    wanted = model.state_dict()
    optional = {f"quantizer.{name}" for name in model.quantizer.TRAINING_ONLY}
    wrong = [name for name in sorted(wanted.keys() ^ state.keys()) if name not in optional]
    wrong += [name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape]
    if wrong:
        shapes = [str(tuple(of[wrong[0]].shape)) if wrong[0] in of else "nothing" for of in (state, wanted)]
        raise WeightsError(
            f"init_from {source} is of another shape: {wrong[0]} is {shapes[0]} there, {shapes[1]} here: use the same "
            "network, quantizer and latent_scale, and optimizer.inflation=central for videos from images"
        )
    model.load_state_dict(state, strict=False)


def init_weights_file(source: str) -> Path | None:
    """The file that `load_init_weights` would read, or None."""
    path = committed_folder(source) or Path(source)
    file = path / "model.safetensors" if path.is_dir() else path
    return file if file.is_file() else None


def _weights(file: Path) -> dict[str, Tensor]:
    """The state dict in a model's file, or the averaged one in a checkpoint."""
    return read_weights(file, "ema/" if any(name.startswith("ema/") for name in names_in(file)) else "")
