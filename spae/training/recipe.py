"""What a training run is: a frozen, validated value whose hash names its checkpoints.

It is flat, so that `--set key=value` reaches all of it. Symbols as in arXiv 2306.17842; counts in steps of one batch.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spae.errors import InputError, SpaeError
from spae.pyramid import Pyramid


class Recipe(BaseModel):
    """All that decides the weights a run ends with, and how often it is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str

    # The model.
    quantizer: Literal["saq", "rq", "vq"] = Field(description="streaming average, residual or plain quantization")
    codebook: Literal["frozen", "learned"] = Field(
        default="frozen", description="words of the vocabulary, or entries that training moves; vq learns by default"
    )
    l2_normalize: bool = Field(default=False, description="compare latents and words at length 1 (LQAE)")
    pyramid: str | tuple[int | tuple[int, ...], ...] = Field(
        default="picto", description="preset of the token pyramid or its layers; the last one is the latent grid"
    )
    network: str = Field(default="picto", description="preset of encoder and decoder")
    size: int = Field(default=32, gt=0, description="side of the images in pixels")
    frames: int = Field(default=0, ge=0, description="frames of a clip; 0: images")
    vocabulary: str = Field(default="smollm2", description="whose words the LLM is shown")
    entries: int = Field(default=1024, gt=0, description="entries of a learned codebook")
    width: int = Field(default=256, gt=0, description="width of a learned codebook")
    latent_scale: float = Field(
        default=0.0,
        ge=0,
        description="hold latents to so many times the frozen codebook's spread (LatentNorm); 0: free",
    )

    projected_layers: int = Field(
        default=0, ge=0, description="so many last layers look words up by drawing coordinates (ProjectedSAQ); 0: none"
    )
    projected_dim: int = Field(default=8, gt=0, description="drawing coordinates of a word")
    projected_scale: float = Field(default=1.0, gt=0, description="spread of the latents in them; words have 1")

    # The semantic loss (Eq. 4 to 7).
    semantics: Literal["none", "label_text", "open_clip"] = Field(
        default="none", description="what scores words against images; label_text by default where thresholds are set"
    )
    clip_model: str = Field(default="ViT-L-14", description="model of open_clip, hf-hub:OWNER/NAME or local-dir:FOLDER")
    clip_pretrained: str = Field(default="openai", description="tag of its weights, or a local file")
    target: Literal["expected", "sampled"] = Field(
        default="expected", description="the pool's mean, or one word of it drawn anew each time (the paper)"
    )
    thresholds: tuple[float, ...] = Field(default=(), description="rho_l of Eq. 4 for layers 1..D'")
    semantic_positions: int = Field(default=4, gt=0, description="positions of a layer scored in one step")
    alpha: float = Field(default=1.0, ge=0, description="factor of the semantic term in Eq. 9")
    dynamic_weight: bool = Field(default=True, description="w of Eq. 9; without it w is 1")
    semantic_weight_reference: Literal["mse", "appearance"] = Field(
        default="mse",
        description="what the semantic loss is weighed against: the first term of Eq. 8 or all (the paper)",
    )
    semantic_weight_min: float = Field(default=0.0, ge=0, description="least dynamic weight w")
    semantic_weight_max: float = Field(default=1.0, ge=0, description="greatest dynamic weight w")
    semantic_warmup_steps: int = Field(
        default=0, ge=0, description="steps at the start that train words alone: nothing is drawn, and w is 1"
    )

    # Appearance (Eq. 8).
    beta: float = Field(default=0.33, ge=0, description="factor of the commitment term")
    gan: Literal["none", "stylegan", "patchgan"] = Field(
        default="none", description="stylegan: non-saturating loss with R1; patchgan: hinge loss"
    )
    gan_weight: float = Field(default=0.1, ge=0, description="lambda, factor of the generator's GAN term")
    r1_weight: float = Field(default=10.0, ge=0, description="factor of R1 in the discriminator's loss (stylegan)")
    r1_every: int = Field(default=1, gt=0, description="steps between those with R1, which then counts so many times")
    lecam_weight: float = Field(default=1e-4, ge=0, description="phi, factor of LeCAM in the discriminator's loss")
    lecam_decay: float = Field(default=0.999, ge=0, lt=1, description="of LeCAM's two averages")
    stall_steps: int = Field(
        default=2000,
        ge=0,
        description="stop when the discriminator has been stalled for so many steps on end; 0: never",
    )
    stall_loss: float = Field(
        default=1e-4, ge=0, description="stalled is a GAN loss of the discriminator below this, with every logit right"
    )
    perceptual: str = Field(default="none", description="a network of spae.losses.perceptual")
    perceptual_weight: float = Field(default=0.1, ge=0, description="eta, factor of the perceptual term")
    perceptual_file: str = Field(default="", description="local file of its weights")
    perceptual_side: int = Field(default=0, ge=0, description="side that images reach it at; 0: its own")
    masked_lm: Literal["none", "roberta"] = Field(default="none", description="LQAE's masked language model")
    masked_lm_source: str = Field(default="FacebookAI/roberta-base", description="its Hugging Face name or folder")
    masked_lm_weight: float = Field(default=1e-4, ge=0, description="factor of its cross entropy")
    mask_ratio: float = Field(default=0.5, gt=0, le=1, description="part of the tokens masked in training")
    layer_dropout: float = Field(
        default=0.2, ge=0, lt=1, description="part of a batch decoded from its first layers only"
    )

    # Data.
    data: str = Field(default="pictograms", description="pictograms, pictograms-more, mnist, or SCHEME:LOCATION")
    exclude: str = Field(default="", description="file of class names to leave out, one a line")
    augment: float = Field(default=1.0, ge=0, description="strength of the random changes of the images")
    initial: str = Field(default="", description="folder or checkpoint whose weights the run begins with")
    inflation: Literal["", "central", "average"] = Field(
        default="", description="make a clip's weights of those of images in `initial`"
    )

    # The optimizer.
    steps: int = Field(gt=0)
    batch: int = Field(default=64, gt=0, description="images of one step, over all processes")
    drawn: int = Field(default=64, gt=0, description="images of a batch that are decoded; the rest train words alone")
    accumulation: int = Field(default=1, gt=0, description="parts that a process takes its share of a batch in")
    learning_rate: float = Field(default=1e-3, gt=0)
    discriminator_lr: float = Field(default=1e-4, gt=0, description="learning rate of the discriminator")
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0, description="greatest norm of the gradient")
    warmup: int = Field(default=100, ge=0, description="steps of linear warm-up")
    cooldown: float = Field(default=0.4, ge=0, le=1, description="last part of the run with linear cool-down to 0")
    schedule: Literal["inverse_sqrt", "cosine", "constant"] = Field(
        default="inverse_sqrt", description="of the rate between warm-up and cool-down"
    )
    ema: float = Field(default=0.995, ge=0, lt=1, description="decay of the averaged weights that are kept")
    seed: int = Field(default=0, ge=0)
    precision: Literal["no", "bf16", "fp16"] = Field(
        default="bf16", description="of convolutions and distance products while training; no: float32"
    )

    # Looking at it.
    evaluate_every: int = Field(default=250, gt=0)
    evaluate_images: int = Field(default=1000, gt=0, description="held-out images that are looked at, at most")
    checkpoint_every: int = Field(default=100, gt=0)
    keep: int = Field(default=2, gt=0, description="newest checkpoints that are kept")
    samples_every: int = Field(default=500, gt=0, description="steps between sample grids")

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, values: Any) -> Any:
        """Two defaults that follow from other fields, so that older recipes keep their meaning."""
        if isinstance(values, dict):
            values = dict(values)
            if values.get("quantizer") == "vq":
                values.setdefault("codebook", "learned")
            if values.get("thresholds"):
                values.setdefault("semantics", "label_text")
        return values

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        learned = self.codebook == "learned"
        if learned and self.thresholds:
            raise ValueError("a learned codebook has no words to be semantic about: leave thresholds empty")
        if learned and self.latent_scale:
            raise ValueError("a learned codebook follows the latents: leave latent_scale at 0")
        if learned and self.quantizer == "saq":
            raise ValueError("saq averages words of a frozen codebook: use rq or vq with codebook=learned")
        if (self.semantics == "none") != (not self.thresholds):
            raise ValueError(
                f"thresholds and semantics go together, got semantics {self.semantics} and {len(self.thresholds)} "
                "thresholds: set both, or none and []"
            )
        try:
            layers = self.layers
        except SpaeError as error:
            raise ValueError(f"pyramid: {error}") from error
        if len(self.thresholds) > layers.depth:
            raise ValueError(
                f"thresholds are for the first layers of {layers.depth}, got {len(self.thresholds)} of them"
            )
        if (self.frames > 0) != (len(layers.grid) == 3):
            raise ValueError(f"clips need a pyramid over time and images one without, got frames {self.frames} and "
                             f"a grid of {layers.grid}")  # fmt: skip
        if self.projected_layers and (self.quantizer != "saq" or not self.latent_scale):
            raise ValueError(
                f"drawing coordinates are of saq with a latent_scale, got {self.quantizer} and {self.latent_scale}: "
                "leave projected_layers at 0"
            )
        if self.projected_layers + len(self.thresholds) > layers.depth:
            raise ValueError(
                f"a layer with a threshold is looked up by whole embeddings: of {layers.depth} layers, thresholds "
                f"({len(self.thresholds)}) and projected_layers ({self.projected_layers}) take more"
            )
        if self.semantic_weight_min > self.semantic_weight_max:
            raise ValueError(
                "semantic_weight_min must not exceed semantic_weight_max, "
                f"got {self.semantic_weight_min} > {self.semantic_weight_max}"
            )
        if self.semantic_warmup_steps >= self.steps:
            raise ValueError(
                f"semantic_warmup_steps must leave steps to draw in, got {self.semantic_warmup_steps} of {self.steps}"
            )
        if self.semantic_warmup_steps and not self.thresholds:
            raise ValueError("without thresholds there are no words to train first: leave semantic_warmup_steps at 0")
        if self.semantic_warmup_steps and self.gan != "none":
            raise ValueError(
                "a discriminator needs drawn images from the first step: leave semantic_warmup_steps at 0 with gan"
            )
        if self.inflation and not (self.initial and self.frames):
            raise ValueError("inflation makes clips' weights of images': set initial and frames, or leave it empty")
        if self.batch % self.accumulation or self.images_drawn % self.accumulation:
            raise ValueError(
                f"every part of a batch has as many images: batch {self.batch} and drawn {self.images_drawn} must "
                f"be divisible by accumulation {self.accumulation}"
            )
        return self

    @property
    def layers(self) -> Pyramid:
        """The token pyramid."""
        return Pyramid.preset(self.pyramid) if isinstance(self.pyramid, str) else Pyramid(self.pyramid)

    @property
    def images_drawn(self) -> int:
        """Images of a batch that are decoded: `drawn`, or all of a smaller batch."""
        return min(self.drawn, self.batch)

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
        """The learning rate at `step` (from 0): linear warm-up, the schedule, linear cool-down.

        The inverse square root is of the steps since warm-up, in units of a quarter of the run, so
        that a short run is not at a fraction of its rate after the first hundred steps. The cosine
        falls to 0 at the end of the run by itself: such recipes set cooldown to 0.
        """
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        done = max(0, step - self.warmup) / self.steps
        if self.schedule == "inverse_sqrt":
            decay = (1 + 4 * done) ** -0.5
        elif self.schedule == "cosine":
            decay = (1 + math.cos(math.pi * max(0, step - self.warmup) / max(1, self.steps - self.warmup))) / 2
        else:
            decay = 1.0
        left = (self.steps - step) / max(1.0, self.cooldown * self.steps)
        return self.learning_rate * warm * decay * min(1.0, left)


def parse_recipe(values: dict[str, Any], where: str) -> Recipe:
    """A recipe from plain values. Raises InputError that names the first field that does not fit."""
    try:
        return Recipe(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "recipe"
        seen = f", got {first['input']!r}" if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {field}: {message}{seen}"[:400]) from error
