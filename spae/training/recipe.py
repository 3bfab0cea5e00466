"""What a training run is: a frozen, validated value whose hash names its checkpoints."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spae.errors import InputError
from spae.pyramid import Pyramid


class Recipe(BaseModel):
    """All that decides the weights a run ends with.

    Widths, layers and thresholds as in method names of the paper; counts in steps of one batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    quantizer: Literal["saq", "vq"] = Field(description="streaming average over words, or a learned codebook")
    pyramid: str = Field(default="picto", description="preset of the token pyramid; its last layer is the latent grid")
    network: str = Field(default="picto", description="preset of encoder and decoder")
    size: int = Field(default=32, gt=0, description="side of the pictures in pixels")
    vocabulary: str = Field(default="smollm2", description="whose words the LLM is shown")
    entries: int = Field(default=1024, gt=0, description="entries of a learned codebook (vq)")
    width: int = Field(default=256, gt=0, description="width of a learned codebook (vq)")
    latent_spread: float = Field(
        default=0.0,
        ge=0,
        description="hold latents to so many times the frozen codebook's spread (LatentNorm); 0: free",
    )

    thresholds: tuple[float, ...] = Field(
        default=(), description="rho_l of Eq. 4 for layers 1..D'; none: no semantic loss"
    )
    semantic_positions: int = Field(default=4, gt=0, description="positions of a layer scored in one step")
    alpha: float = Field(default=1.0, ge=0, description="factor of the semantic term in Eq. 9")
    weight_low: float = Field(default=0.0, ge=0, description="least dynamic weight w")
    weight_high: float = Field(default=1.0, ge=0, description="greatest dynamic weight w")
    beta: float = Field(default=0.33, ge=0, description="factor of the commitment term in Eq. 8")
    prefix_share: float = Field(
        default=0.2, ge=0, lt=1, description="part of a batch decoded from its first layers only"
    )
    augment: float = Field(default=1.0, ge=0, description="strength of the random changes of the pictures")

    steps: int = Field(gt=0)
    batch: int = Field(default=64, gt=0)
    drawn: int = Field(default=64, gt=0, description="pictures of a batch that are decoded; the rest train words alone")
    learning_rate: float = Field(default=1e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0, description="greatest norm of the gradient")
    warmup: int = Field(default=100, ge=0, description="steps of linear warm-up")
    cooldown: float = Field(default=0.4, ge=0, le=1, description="last part of the run with linear cool-down to 0")
    ema: float = Field(default=0.995, ge=0, lt=1, description="decay of the averaged weights that are kept")
    seed: int = Field(default=0, ge=0)
    bf16: bool = Field(default=True, description="convolutions and distance products in bfloat16 while training")
    evaluate_every: int = Field(default=250, gt=0)
    checkpoint_every: int = Field(default=100, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.quantizer == "vq" and self.thresholds:
            raise ValueError("a learned codebook has no words to be semantic about: leave thresholds empty with vq")
        if self.quantizer == "vq" and self.latent_spread:
            raise ValueError("a learned codebook follows the latents: leave latent_spread at 0 with vq")
        layers = Pyramid.preset(self.pyramid).depth
        if len(self.thresholds) > layers:
            raise ValueError(f"thresholds are for the first layers of {layers}, got {len(self.thresholds)} of them")
        if self.weight_low > self.weight_high:
            raise ValueError(f"weight_low must not exceed weight_high, got {self.weight_low} > {self.weight_high}")
        return self

    @property
    def fingerprint(self) -> str:
        """sha256 over every field."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def with_settings(self, settings: list[str]) -> Recipe:
        """The recipe with some fields set anew, each given as "key=value" with a JSON value or plain text.

        Raises:
            InputError: not key=value, an unknown key, or a value that does not fit.
        """
        changed: dict[str, Any] = self.model_dump()
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals or key not in changed:
                raise InputError(
                    f"--set takes key=value with a key of the recipe, got {setting!r}: {', '.join(changed)}"
                )
            try:
                changed[key] = json.loads(value)
            except json.JSONDecodeError:
                changed[key] = value
        return parse_recipe(changed, "--set")

    def rate(self, step: int) -> float:
        """The learning rate at `step` (from 0): linear warm-up, inverse square root, linear cool-down.

        The inverse square root is of the steps since warm-up, in units of a quarter of the run, so
        that a short run is not at a fraction of its rate after the first hundred steps.
        """
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        decay = (1 + 4 * max(0, step - self.warmup) / self.steps) ** -0.5
        left = (self.steps - step) / max(1.0, self.cooldown * self.steps)
        return self.learning_rate * warm * decay * min(1.0, left)


def parse_recipe(values: dict[str, Any], where: str) -> Recipe:
    """A recipe from plain values. Raises InputError that names the first field that does not fit."""
    try:
        return Recipe(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise InputError(f"{where}: {field}: {first['msg']}, got {first['input']!r}"[:400]) from error
