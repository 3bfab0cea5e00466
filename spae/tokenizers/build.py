"""From a configuration to a model, and from a folder to a trained one.

A model's folder holds `config.json` and `model.safetensors` (encoder, decoder and any learned
codebook; a frozen codebook belongs to its vocabulary, which the configuration names by hash).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from spae.atomic import atomic_path, write_text
from spae.errors import InputError, WeightsError
from spae.networks import Autoencoder, build_autoencoder
from spae.networks.latent_norm import LatentNorm
from spae.networks.projected_norm import ProjectedNorm
from spae.pyramid import Pyramid
from spae.quantizers import (
    MovingAverage,
    ProjectedSAQ,
    Quantizer,
    ResidualQuantizer,
    StreamingAverageQuantizer,
    VectorQuantizer,
    random_codebook,
)
from spae.tokenizers.config import ModelConfig, SavedConfig
from spae.tokenizers.dual_encoder_model import DualEncoderModel
from spae.tokenizers.lqae import LqaeModel
from spae.tokenizers.masked_lm import open_masked_lm
from spae.tokenizers.model import TokenizerModel
from spae.tokenizers.model_folder import load_config
from spae.tokenizers.own_vocabulary import model_vocabulary
from spae.vocabulary import LexicalVocabulary
from spae.weights_file import read_weights

TRAINING_ONLY = tuple(f"quantizer.{name}" for name in Quantizer.TRAINING_ONLY)


def save_model(folder: Path, weights: dict[str, Tensor], config: SavedConfig) -> None:
    """Write what `load_model` reads: weights in half precision, without what only training needs.

    Args:
        weights: the state dict of a TokenizerModel.
        config: as `saved_config` gives.
    """
    half = {name: value.half().contiguous() for name, value in weights.items() if name not in TRAINING_ONLY}
    with atomic_path(folder / "model.safetensors") as draft:
        save_file(half, draft)
    write_text(folder / "config.json", config_text(config))


def saved_config(name: str, model: ModelConfig, vocabulary: LexicalVocabulary) -> SavedConfig:
    """The configuration that a trained model is saved with.

    Args:
        name: of its recipe.
        vocabulary: of that name.
    """
    language = vocabulary.source_sha256 if model.masked_lm != "none" else ""
    return SavedConfig(
        **model.model_dump(), name=name, vocabulary_sha256=vocabulary.fingerprint, masked_lm_sha256=language
    )


def config_text(config: SavedConfig) -> str:
    """A configuration as its config.json holds it: every field, sorted."""
    return json.dumps(config.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"


def build_model(
    config: ModelConfig, vocabulary: LexicalVocabulary, search: torch.dtype = torch.float32
) -> TokenizerModel:
    """A model of the family with random weights: the quantizer's first, then the networks', from torch's generator.

    Args:
        config: its shape; a `SavedConfig` also names the masked language model by hash.
        vocabulary: its embeddings are the codebook, unless the codebook is learned.
        search: arithmetic of a frozen codebook's search.

    Raises:
        InputError: parts that do not fit together, such as networks and the pyramid's grid.
        WeightsError: the masked language model of an LQAE is missing, or is not the vocabulary's.
    """
    pyramid = config.layers
    quantizer = _quantizer(config, vocabulary, pyramid, search)
    width, scale = quantizer.codebook.shape[1], config.latent_scale
    latent_norm: LatentNorm | ProjectedNorm | None = None
    projected = 0
    if isinstance(quantizer, ProjectedSAQ):
        projected = config.projected_dim
        latent_norm = ProjectedNorm(vocabulary.embeddings, projected, scale, config.projected_scale)
    elif scale:
        latent_norm = LatentNorm(vocabulary.embeddings, scale)
    autoencoder = build_autoencoder(config.network, width - projected, projected)
    check_grid(config, pyramid, autoencoder)
    if config.masked_lm == "none":
        kind = DualEncoderModel if isinstance(quantizer, ProjectedSAQ) else TokenizerModel
        return kind(autoencoder, quantizer, latent_norm)
    if quantizer.table is None or pyramid.depth != 1 or latent_norm is not None or vocabulary.tokens is None:
        raise InputError(
            "a masked language model reads words of one layer: use quantizer vq, a frozen codebook whose "
            "vocabulary knows its tokens, and latent_scale 0"
        )
    known = config.masked_lm_sha256 if isinstance(config, SavedConfig) else ""
    language = open_masked_lm(config.masked_lm_source, known or vocabulary.source_sha256)
    return LqaeModel(autoencoder, quantizer, language, torch.tensor(vocabulary.tokens), config.mask_ratio)


def _quantizer(config: ModelConfig, vocabulary: LexicalVocabulary, pyramid: Pyramid, search: torch.dtype) -> Quantizer:
    learned = config.codebook == "learned"
    if config.quantizer == "saq":
        if config.projected_layers:
            return ProjectedSAQ(
                vocabulary.embeddings, pyramid, config.projected_layers, config.projected_dim, search=search
            )
        return StreamingAverageQuantizer(vocabulary.embeddings, pyramid, search)
    codebook = random_codebook(config.codebook_size, config.codebook_dim) if learned else vocabulary.embeddings
    flat = config.quantizer == "vq"
    made = VectorQuantizer if flat else ResidualQuantizer
    return made(
        codebook,
        Pyramid((pyramid.grid,)) if flat else pyramid,  # plain quantization may name a pyramid for its grid alone
        learning=MovingAverage(initial_usage=0) if learned else None,
        l2_normalize=config.l2_normalize,
        search=torch.float32 if learned else search,
    )


def check_grid(config: ModelConfig, pyramid: Pyramid, autoencoder: Autoencoder) -> None:
    """The networks must make the pyramid's grid of these images or videos. Raises InputError."""
    size, frames, network = config.image_size, config.num_frames, config.network
    try:
        grid = autoencoder.encoder.grid((1, 3, frames, size, size) if frames else (1, 3, size, size))
    except InputError as error:
        raise InputError(
            f"network {network} does not take image_size {size} with num_frames {frames}: {error}"
        ) from error
    if grid != pyramid.grid:
        raise InputError(
            f"network {network} makes a grid of {grid} at image_size {size} and num_frames {frames}, the pyramid's "
            f"last layer is {pyramid.grid}: change one of them"
        )


def load_model(folder: Path, vocabulary: LexicalVocabulary | None = None) -> TokenizerModel:
    """The trained model in `folder`, in float32 and evaluation mode.

    Args:
        vocabulary: the model's, already opened; None opens it.

    Raises:
        WeightsError: a file is missing or broken, or the vocabulary is not the one it was trained with.
    """
    config = load_config(folder)
    vocabulary = vocabulary or model_vocabulary(folder, config)
    try:
        model = build_model(config, vocabulary)
    except InputError as error:
        raise WeightsError(f"{folder}/config.json describes no model ({error})") from error
    try:
        found = model.load_state_dict(read_weights(folder / "model.safetensors"), strict=False)
        wrong = [*found.unexpected_keys, *(name for name in found.missing_keys if name not in TRAINING_ONLY)]
        if wrong:
            raise RuntimeError(f"{wrong[0]} is missing or has no place")
    except FileNotFoundError:
        raise WeightsError(f"{folder} holds no model.safetensors: train it with python -m spae train") from None
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"{folder}/model.safetensors does not fit its config.json ({reason})") from error
    return model.eval()
