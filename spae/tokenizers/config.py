"""The shape of a model: the `model` group of a recipe, and what a saved model's config.json holds.

A config.json may come from anywhere, so every size has a limit and nothing is built before all of it is validated. It
names no file: weights and a vocabulary stand beside it under fixed names. One field may be more than a name: the
source of LQAE's language model, a name on the hub, or a folder of the machine that the model was trained on.
"""

from __future__ import annotations

import math
import re
from itertools import takewhile
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spae.errors import InputError, ShapeError, SpaeError, WeightsError
from spae.network_presets import network_plan
from spae.pyramid import Pyramid

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
# More than any model of the paper and its variants takes (1536 wide, 65,000 words, 256 pixels, 16 frames); what is
# above would ask for memory before the weights are seen not to fit.
MAX_CODEBOOK_NUMBERS = 1 << 28
MAX_LAYER_CELLS = 1 << 18
WRONG_TYPE = ("string_type", "tuple_type")


def _plain_name(value: str) -> str:
    if not value.isprintable() or set(value) & set("/\\") or value.startswith((".", "~")):
        raise ValueError("must be a printable name, never a path")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be printable")
    return value


PlainName = Annotated[str, Field(max_length=100), AfterValidator(_plain_name)]
Side = Annotated[int, Field(ge=1, le=256)]
LayerShape = Side | Annotated[tuple[Side, ...], Field(min_length=1, max_length=3)]


class StrictGroup(BaseModel):
    """A group of fields: frozen, no unknown fields, no coercion (a whole number is no text, no fraction, no bool)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class ModelConfig(StrictGroup):
    """All that decides a model's shape; symbols as in arXiv 2306.17842."""

    quantizer: Literal["saq", "rq", "vq"] = Field(description="streaming average, residual or plain quantization")
    codebook: Literal["frozen", "learned"] = Field(
        default="frozen", description="frozen: the words of the vocabulary; learned: entries that training moves"
    )
    l2_normalize: bool = Field(default=False, description="compare latents and words at length 1 (LQAE)")
    pyramid: PlainName | Annotated[tuple[LayerShape, ...], Field(max_length=32)] = Field(
        default="picto", description="preset of the token pyramid, or the sides of its layers; the last is the grid"
    )
    network: PlainName = Field(default="picto", description="preset of encoder and decoder")
    image_size: int = Field(default=32, gt=0, le=4096, description="side of the images in pixels")
    num_frames: int = Field(default=0, ge=0, le=1024, description="frames of a video; 0: images")
    vocabulary: PlainName = Field(default="smollm2", description="vocabulary whose words the LLM reads")
    codebook_size: int = Field(default=1024, gt=0, le=1 << 20, description="entries of a learned codebook")
    codebook_dim: int = Field(default=256, gt=0, le=16_384, description="width of a learned codebook")
    latent_scale: float = Field(
        default=0.0, ge=0, description="scale latents to this multiple of the frozen codebook's spread; 0: off"
    )
    projected_layers: int = Field(
        default=0, ge=0, le=32, description="how many last layers search words by their projection; 0: none"
    )
    projected_dim: int = Field(default=8, gt=0, le=4096, description="dimensions of the projection")
    projected_scale: float = Field(default=1.0, gt=0, description="scale of the latents in it; words have 1")
    masked_lm: Literal["none", "roberta"] = Field(default="none", description="LQAE's masked language model")
    masked_lm_source: Annotated[str, AfterValidator(_printable)] = Field(
        default="", max_length=1000, description="its Hugging Face name or folder"
    )
    mask_ratio: float = Field(default=0.5, gt=0, le=1, description="part of the tokens masked in training")

    @property
    def layers(self) -> Pyramid:
        """The token pyramid. Raises InputError for sides that form no pyramid."""
        return Pyramid.preset(self.pyramid) if isinstance(self.pyramid, str) else Pyramid(self.pyramid)

    @property
    def family(self) -> str:
        """Kind of tokenizer: "spae" (SAQ), "rq", "vqgan" (a layer of learned codes) or "lqae" (a layer of words)."""
        if self.quantizer == "vq":
            return "lqae" if self.codebook == "frozen" else "vqgan"
        return "spae" if self.quantizer == "saq" else "rq"

    @property
    def depth(self) -> int:
        """D, the number of layers; plain quantization may name a pyramid for its grid alone."""
        return 1 if self.quantizer == "vq" else self.layers.depth

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.codebook_size * self.codebook_dim > MAX_CODEBOOK_NUMBERS:
            raise ValueError(
                f"codebook_size x codebook_dim may be {MAX_CODEBOOK_NUMBERS:,} at most, got {self.codebook_size} x "
                f"{self.codebook_dim}"
            )
        if not isinstance(self.pyramid, str):
            cells = max((math.prod(one) for one in self.pyramid if isinstance(one, tuple)), default=0)
            if cells > MAX_LAYER_CELLS:
                raise ValueError(f"pyramid: a layer may have {MAX_LAYER_CELLS:,} cells at most, got {cells:,}")
        try:
            layers = self.layers
        except SpaeError as error:
            raise ValueError(f"pyramid: {error}") from error
        if self.codebook == "learned" and self.latent_scale:
            raise ValueError(f"a learned codebook follows the latents: latent_scale must be 0, got {self.latent_scale}")
        if self.quantizer == "saq" and (self.codebook == "learned" or self.l2_normalize):
            raise ValueError(
                "saq averages words of a frozen codebook, unnormalized: use rq or vq for a learned codebook or "
                "l2_normalize"
            )
        if self.projected_layers and (self.quantizer != "saq" or not self.latent_scale):
            raise ValueError(
                "projected_layers needs quantizer saq with a latent_scale, got "
                f"{self.quantizer} and {self.latent_scale}: leave projected_layers at 0"
            )
        if (self.num_frames > 0) != (len(layers.grid) == 3):
            raise ValueError(
                f"videos need a pyramid over time and images one without, got num_frames {self.num_frames} and a grid "
                f"of {layers.grid}"
            )
        return self


class SavedConfig(ModelConfig):
    """A saved model's config.json."""

    name: PlainName = Field(description="the recipe's name")
    vocabulary_sha256: PlainName = Field(description="hash of the vocabulary's words and embeddings")
    masked_lm_sha256: PlainName = Field(default="", description="hash of the masked language model's weights")


def check_grid(config: ModelConfig) -> None:
    """The network must exist, and make the pyramid's grid of these images or videos. Raises InputError."""
    size, frames, network, wanted = config.image_size, config.num_frames, config.network, config.layers.grid
    try:
        grid = network_plan(network).grid((1, 3, frames, size, size) if frames else (1, 3, size, size))
    except ShapeError as error:
        raise InputError(
            f"network {network} does not take image_size {size} with num_frames {frames}: {error}"
        ) from error
    if grid != wanted:
        raise InputError(
            f"network {network} makes a grid of {grid} at image_size {size} and num_frames {frames}, the pyramid's "
            f"last layer is {wanted}: change one of them"
        )


def parse_config(text: bytes, where: str) -> SavedConfig:
    """The configuration in the bytes of a config.json.

    Args:
        where: how messages call it.

    Raises:
        WeightsError: no JSON object, a missing or unknown field, a value of another type, a name that could be a path,
            or a size out of bounds.
    """
    try:
        config = SavedConfig.model_validate_json(text)
    except ValidationError as error:
        raise WeightsError(f"{where} is not a model's configuration: {first_problem(error)}") from error
    missing = [field for field in SavedConfig.model_fields if field not in config.model_fields_set]
    if missing:  # a default could be another shape than that of the weights
        raise WeightsError(f"{where} is not a model's configuration: {missing[0]} is missing")
    return config


def first_problem(error: ValidationError) -> str:
    """One printable line: the first field that does not fit, the rule and the value seen."""
    errors = error.errors(include_url=False)
    field_of = [tuple(takewhile(lambda part: str(part).isidentifier(), one["loc"])) for one in errors]
    # Of the alternatives of a union, report the one of the value's type whose validation got furthest.
    alternatives = [one for one, field in zip(errors, field_of, strict=True) if field == field_of[0]]
    first = max(reversed(alternatives), key=lambda one: (one["type"] not in WRONG_TYPE, len(one["loc"])))
    # Pydantic's path to a field includes the names of alternatives, which mean nothing to a user.
    path = [str(part) for part in first["loc"] if str(part).isidentifier() or isinstance(part, int)]
    field = ascii(".".join(path))[1:-1][:60]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"unknown field {field!r}"
    if first["type"] == "missing":
        return f"{field} is missing"
    if not first["loc"] or isinstance(first["input"], dict):
        return " ".join(f"{field}: {message}".removeprefix(": ").split())[:300]
    return f"{field}: {' '.join(message.split())[:200]}, got {ascii(first['input'])[:60]}"


def check_portable(config: ModelConfig, where: str) -> None:
    """Fail on a configuration that names a folder of this machine, before it leaves it or after it came from another.

    Raises:
        WeightsError: the language model's source is neither empty nor a name on the hub.
    """
    source = config.masked_lm_source
    if source and (not HUB_NAME.fullmatch(source) or ".." in source):
        raise WeightsError(
            f"{where}: masked_lm_source must be a name on the hub, such as FacebookAI/roberta-base, got a folder "
            f"({source!r}): write the model's name there"
        )
