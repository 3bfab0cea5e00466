"""From a configuration to a model, and from a folder to a trained one.

A model's folder holds `config.json` and `model.safetensors` (encoder, decoder and any learned
codebook; a frozen codebook belongs to its vocabulary, which the configuration names by hash).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from spae.cache_folder import atomic_path
from spae.errors import UnknownName, WeightsError
from spae.networks import build_autoencoder
from spae.networks.latent_norm import LatentNorm
from spae.pyramid import Pyramid
from spae.quantizers import StreamingAverageQuantizer, VectorQuantizer
from spae.tokenizers.model import TokenizerModel
from spae.vocabulary import LexicalVocabulary, open_vocabulary

# What of a recipe decides the shape of the model; the rest decides its weights.
SHAPE_FIELDS = ("name", "quantizer", "pyramid", "network", "size", "vocabulary", "entries", "width", "latent_spread")


TRAINING_ONLY = tuple(f"quantizer.{name}" for name in VectorQuantizer.TRAINING_ONLY)


def save_model(folder: Path, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Write what `load_model` reads: weights in half precision, without what only training needs.

    Args:
        weights: the state dict of a TokenizerModel.
        config: as `model_config` gives.
    """
    half = {name: value.half().contiguous() for name, value in weights.items() if name not in TRAINING_ONLY}
    with atomic_path(folder / "model.safetensors") as draft:
        save_file(half, draft)
    with atomic_path(folder / "config.json") as draft:
        draft.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def model_config(recipe: dict[str, Any], vocabulary: LexicalVocabulary) -> dict[str, Any]:
    """The configuration that a recipe's model is saved with."""
    return {key: recipe[key] for key in SHAPE_FIELDS} | {"vocabulary_sha256": vocabulary.fingerprint}


def build_model(
    config: dict[str, Any], vocabulary: LexicalVocabulary, search: torch.dtype = torch.float32
) -> TokenizerModel:
    """A model with random weights; `search` is the arithmetic of a frozen codebook's search."""
    pyramid = Pyramid.preset(config["pyramid"])
    if config["quantizer"] == "saq":
        quantizer: StreamingAverageQuantizer | VectorQuantizer = StreamingAverageQuantizer(
            vocabulary.embeddings, pyramid, search
        )
        width = vocabulary.embeddings.shape[1]
    else:
        width = config["width"]
        quantizer = VectorQuantizer(config["entries"], width, Pyramid((pyramid.grid,)))
    latent_norm = LatentNorm(vocabulary.embeddings, config["latent_spread"]) if config["latent_spread"] else None
    return TokenizerModel(build_autoencoder(config["network"], width), quantizer, latent_norm)


def load_config(folder: Path) -> dict[str, Any]:
    """The configuration in a model's folder. Raises WeightsError."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        missing = [key for key in (*SHAPE_FIELDS, "vocabulary_sha256") if key not in config]
    except FileNotFoundError:
        raise WeightsError(f"{folder} holds no config.json: name a folder that `python -m spae train` wrote") from None
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} is not a model's configuration ({error})") from error
    if missing:
        raise WeightsError(f"{path} lacks {', '.join(missing)}: name a folder that `python -m spae train` wrote")
    return config


def load_model(folder: Path) -> TokenizerModel:
    """The trained model in `folder`, in float32 and evaluation mode.

    Raises:
        WeightsError: a file is missing or broken, or the vocabulary is not the one it was trained with.
    """
    config = load_config(folder)
    try:
        vocabulary = open_vocabulary(config["vocabulary"])
    except UnknownName as error:
        raise WeightsError(f"{folder}/config.json: {error}") from error
    if vocabulary.fingerprint != config["vocabulary_sha256"]:
        raise WeightsError(
            f"{folder} was trained with vocabulary {config['vocabulary_sha256'][:12]}, "
            f"this is {vocabulary.fingerprint[:12]}: install the version of its source that the README pins"
        )
    model = build_model(config, vocabulary)
    try:
        weights = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
        found = model.load_state_dict(weights, strict=False)
        wrong = [*found.unexpected_keys, *(name for name in found.missing_keys if name not in TRAINING_ONLY)]
        if wrong:
            raise RuntimeError(f"{wrong[0]} is missing or has no place")
    except FileNotFoundError:
        raise WeightsError(f"{folder} holds no model.safetensors: train it with python -m spae train") from None
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"{folder}/model.safetensors does not fit its config.json ({reason})") from error
    return model.eval()
