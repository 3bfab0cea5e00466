"""From a configuration to a model, and from a folder to a trained one.

A model's folder holds `config.json` and `model.safetensors` (encoder, decoder and any learned
codebook; a frozen codebook belongs to its vocabulary, which the configuration names by hash).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from spae.atomic import atomic_path
from spae.errors import InputError, UnknownName, WeightsError
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
from spae.tokenizers.dual_encoder_model import DualEncoderModel
from spae.tokenizers.lqae import LqaeModel
from spae.tokenizers.masked_lm import open_masked_lm
from spae.tokenizers.model import TokenizerModel
from spae.tokenizers.own_vocabulary import model_vocabulary
from spae.tokenizers.stated_config import check_config
from spae.vocabulary import LexicalVocabulary

# What of a recipe decides the shape of the model; the rest decides its weights. The first line is in every folder,
# the others have been there since recipes have them: where one is missing, it was what `_OLDER` says.
FIRST_FIELDS = ("name", "quantizer", "pyramid", "network", "size", "vocabulary", "entries", "width", "latent_scale")
DRAWING_FIELDS = ("projected_layers", "projected_dim", "projected_scale")
SHAPE_FIELDS = (
    *(*FIRST_FIELDS, "codebook", "l2_normalize", "frames", "masked_lm", "masked_lm_source", "mask_ratio"),
    *DRAWING_FIELDS,
)
_OLDER: dict[str, Any] = {
    **{"l2_normalize": False, "frames": 0, "masked_lm": "none", "masked_lm_source": "", "mask_ratio": 0.5},
    **{"projected_layers": 0, "projected_dim": 8, "projected_scale": 1.0},
}

# Of a config.json; those that are written have a few hundred.
CONFIG_BYTES = 1_000_000
QUANTIZERS = ("saq", "rq", "vq")
TRAINING_ONLY = tuple(f"quantizer.{name}" for name in Quantizer.TRAINING_ONLY)


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


def model_config(recipe: Mapping[str, Any], vocabulary: LexicalVocabulary) -> dict[str, Any]:
    """The configuration that a recipe's model is saved with, in JSON's types.

    Args:
        recipe: its fields, as `Recipe.model_dump` gives them.
        vocabulary: the one that it names.
    """
    shape = json.loads(json.dumps({key: recipe[key] for key in SHAPE_FIELDS}))
    shape["vocabulary_sha256"] = vocabulary.fingerprint
    if shape["masked_lm"] == "none":
        return shape | {"masked_lm_source": ""}
    return shape | {"masked_lm_sha256": vocabulary.source_sha256}


def build_model(
    config: Mapping[str, Any], vocabulary: LexicalVocabulary, search: torch.dtype = torch.float32
) -> TokenizerModel:
    """A model of the family with random weights: the quantizer's first, then the networks', from torch's generator.

    Args:
        config: as `model_config` gives, or an older one.
        vocabulary: whose embeddings are the codebook, where that is frozen.
        search: arithmetic of a frozen codebook's search.

    Raises:
        InputError: parts that do not fit together, such as networks and the pyramid's grid.
        WeightsError: the masked language model of an LQAE is not here or not the vocabulary's.
    """
    config = _with_defaults(config)
    pyramid = pyramid_of(config["pyramid"])
    quantizer = _quantizer(config, vocabulary, pyramid, search)
    width = quantizer.codebook.shape[1]
    scale = config["latent_scale"]
    if scale and quantizer.table is None:
        raise InputError(f"a learned codebook follows the latents: latent_scale must be 0, got {scale}")
    latent_norm: LatentNorm | ProjectedNorm | None = None
    projected = 0
    if isinstance(quantizer, ProjectedSAQ):
        projected = config["projected_dim"]
        latent_norm = ProjectedNorm(vocabulary.embeddings, projected, scale, config["projected_scale"])
    elif scale:
        latent_norm = LatentNorm(vocabulary.embeddings, scale)
    autoencoder = build_autoencoder(config["network"], width - projected, projected)
    _check_grid(config, pyramid, autoencoder)
    if config["masked_lm"] == "none":
        kind = DualEncoderModel if isinstance(quantizer, ProjectedSAQ) else TokenizerModel
        return kind(autoencoder, quantizer, latent_norm)
    if quantizer.table is None or pyramid.depth != 1 or latent_norm is not None or vocabulary.tokens is None:
        raise InputError(
            "a masked language model reads words of one layer: use quantizer vq, a frozen codebook whose "
            "vocabulary knows its tokens, and latent_scale 0"
        )
    language = open_masked_lm(config["masked_lm_source"], config.get("masked_lm_sha256") or vocabulary.source_sha256)
    return LqaeModel(autoencoder, quantizer, language, torch.tensor(vocabulary.tokens), config["mask_ratio"])


def pyramid_of(layers: str | list[Any] | tuple[Any, ...]) -> Pyramid:
    """A pyramid by the name of its preset, or by the sides of its layers, coarse to fine. Raises InputError."""
    return Pyramid.preset(layers) if isinstance(layers, str) else Pyramid(layers)


def _quantizer(
    config: Mapping[str, Any], vocabulary: LexicalVocabulary, pyramid: Pyramid, search: torch.dtype
) -> Quantizer:
    kind, learned = config["quantizer"], config["codebook"] == "learned"
    if kind == "saq":
        if learned or config["l2_normalize"]:
            raise InputError("saq averages words of a frozen codebook as they stand: use rq or vq to learn or by angle")
        if config["projected_layers"]:
            return ProjectedSAQ(
                vocabulary.embeddings, pyramid, config["projected_layers"], config["projected_dim"], search=search
            )
        return StreamingAverageQuantizer(vocabulary.embeddings, pyramid, search)
    if kind not in QUANTIZERS:
        raise UnknownName("quantizer", kind, QUANTIZERS)
    codebook = random_codebook(config["entries"], config["width"]) if learned else vocabulary.embeddings
    learning = MovingAverage(initial_usage=0) if learned else None
    # A flat tokenizer may name a pyramid for its grid alone.
    layers = Pyramid((pyramid.grid,)) if kind == "vq" else pyramid
    made = VectorQuantizer if kind == "vq" else ResidualQuantizer
    return made(
        codebook,
        layers,
        learning=learning,
        l2_normalize=config["l2_normalize"],
        search=torch.float32 if learned else search,
    )


def _check_grid(config: Mapping[str, Any], pyramid: Pyramid, autoencoder: Autoencoder) -> None:
    """The networks must make the pyramid's grid of these images or clips. Raises InputError."""
    size, frames, network = config["size"], config["frames"], config["network"]
    try:
        grid = autoencoder.encoder.grid((1, 3, frames, size, size) if frames else (1, 3, size, size))
    except InputError as error:
        raise InputError(f"network {network} does not take size {size} with frames {frames}: {error}") from error
    if grid != pyramid.grid:
        raise InputError(
            f"network {network} makes a grid of {grid} at size {size} and frames {frames}, the pyramid's last layer is "
            f"{pyramid.grid}: change one of them"
        )


def _with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with what it was before recipes had a field for it."""
    codebook = "learned" if config.get("quantizer") == "vq" else "frozen"
    return {"codebook": codebook, **_OLDER, **config}


def load_config(folder: Path) -> dict[str, Any]:
    """The configuration in a model's folder, with all of SHAPE_FIELDS. Raises WeightsError."""
    path = folder / "config.json"
    try:
        with path.open("rb") as stream:
            text = stream.read(CONFIG_BYTES + 1)
        if len(text) > CONFIG_BYTES:
            raise ValueError(f"it is longer than {CONFIG_BYTES:,} bytes")
        config = json.loads(text)
    except FileNotFoundError:
        raise WeightsError(f"{folder} holds no config.json: name a folder that `python -m spae train` wrote") from None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not a model's configuration ({error})") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} is not a model's configuration (it is no JSON object)")
    missing = [key for key in (*FIRST_FIELDS, "vocabulary_sha256") if key not in config]
    if missing:
        raise WeightsError(f"{path} lacks {', '.join(missing)}: name a folder that `python -m spae train` wrote")
    return _with_defaults(check_config(config, (*SHAPE_FIELDS, "vocabulary_sha256", "masked_lm_sha256"), str(path)))


def load_model(folder: Path, vocabulary: LexicalVocabulary | None = None) -> TokenizerModel:
    """The trained model in `folder`, in float32 and evaluation mode; `vocabulary` is its own, where that is at hand.

    Raises:
        WeightsError: a file is missing or broken, or the vocabulary is not the one it was trained with.
    """
    config = load_config(folder)
    vocabulary = vocabulary or model_vocabulary(folder, config)
    try:
        model = build_model(config, vocabulary)
    except (InputError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{folder}/config.json describes no model ({reason})") from error
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
