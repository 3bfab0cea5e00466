"""What a training run is: a frozen, validated value in six groups, all of it reached by `--set group.field=value`.

Symbols as in arXiv 2306.17842; counts are in steps of one batch.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from spae.errors import InputError, did_you_mean
from spae.losses.perceptual_names import check_perceptual
from spae.tokenizers.config import ModelConfig, PlainName, StrictGroup, check_grid, first_problem
from spae.training.data_schemes import check_source

ABBREVIATIONS = {
    "lr": "learning_rate", "learning": "learning_rate", "rate": "learning_rate", "batch": "batch_size",
    "bs": "batch_size", "wd": "weight_decay", "ema": "ema_decay", "epochs": "steps", "iterations": "steps",
    "max_steps": "steps", "warmup": "warmup_steps", "data": "source", "dataset": "source", "size": "image_size",
    "resolution": "image_size", "frames": "num_frames", "init": "init_from", "vocab": "vocabulary",
    "clip": "max_grad_norm", "accumulation": "gradient_accumulation_steps", "amp": "precision", "dtype": "precision",
    "lpips": "perceptual", "augmentation": "augment", "exclude": "exclude_classes", "keep": "keep_checkpoints",
}  # fmt: skip
"""What people call a field, and the field's name: spelling alone would not find it."""


class SemanticsConfig(StrictGroup):
    """The semantic loss (Eq. 4 to 7, 9)."""

    scorer: Literal["none", "label_text", "open_clip"] = Field(
        default="none", description="what scores words against images: the text of labels, CLIP, or no semantic loss"
    )
    clip_model: str = Field(default="ViT-L-14", description="model of open_clip, hf-hub:OWNER/NAME or local-dir:FOLDER")
    clip_pretrained: str = Field(default="openai", description="tag of its weights, or a local file")
    target: Literal["expected", "sampled"] = Field(
        default="expected", description="mean over the pool, or one word sampled from it at every step (the paper)"
    )
    thresholds: tuple[float, ...] = Field(default=(), description="rho_l of Eq. 4 for layers 1..D'")
    semantic_positions: int = Field(default=4, gt=0, description="positions of a layer that one step scores")
    semantic_weight: float = Field(default=1.0, ge=0, description="alpha, factor of the semantic term in Eq. 9")
    dynamic_weight: bool = Field(default=True, description="w of Eq. 9; false: w is 1")
    semantic_weight_reference: Literal["mse", "appearance"] = Field(
        default="mse", description="numerator of w: the first term of Eq. 8, or all of it (the paper)"
    )
    semantic_weight_min: float = Field(default=0.0, ge=0, description="lower bound of w")
    semantic_weight_max: float = Field(default=1.0, ge=0, description="upper bound of w")
    semantic_warmup_steps: int = Field(
        default=0, ge=0, description="first steps, which train the semantic loss alone, with w = 1 and nothing decoded"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.scorer == "none") != (not self.thresholds):
            raise ValueError(
                f"thresholds and scorer go together, got scorer {self.scorer} and {len(self.thresholds)} thresholds: "
                "set both, or none and []"
            )
        if self.semantic_weight_min > self.semantic_weight_max:
            raise ValueError(
                "semantic_weight_min must not exceed semantic_weight_max, "
                f"got {self.semantic_weight_min} > {self.semantic_weight_max}"
            )
        if self.semantic_warmup_steps and not self.thresholds:
            raise ValueError("semantic_warmup_steps needs thresholds: leave it at 0 without a semantic loss")
        return self


class AppearanceConfig(StrictGroup):
    """The other terms of the loss (Eq. 8), and the discriminator's."""

    commitment_weight: float = Field(default=0.33, ge=0, description="beta, factor of the commitment term")
    gan: Literal["none", "stylegan", "patchgan"] = Field(
        default="none", description="discriminator; stylegan: non-saturating loss with R1, patchgan: hinge loss"
    )
    gan_weight: float = Field(default=0.1, ge=0, description="lambda, factor of the generator's GAN term")
    r1_weight: float = Field(default=10.0, ge=0, description="factor of R1 in the discriminator's loss (stylegan)")
    r1_every: int = Field(default=1, gt=0, description="steps between those with R1, whose weight it multiplies")
    lecam_weight: float = Field(default=1e-4, ge=0, description="phi, factor of LeCAM in the discriminator's loss")
    lecam_decay: float = Field(default=0.999, ge=0, lt=1, description="decay of LeCAM's two averages")
    stall_steps: int = Field(
        default=2000, ge=0, description="stop after this many steps on end with a stalled discriminator; 0: never"
    )
    stall_loss: float = Field(
        default=1e-4, ge=0, description="a discriminator is stalled below this GAN loss with every logit right"
    )
    perceptual: str = Field(default="none", description="network of the perceptual loss (spae.losses.perceptual)")
    perceptual_weight: float = Field(default=0.1, ge=0, description="eta, factor of the perceptual term")
    perceptual_file: str = Field(default="", description="local file of the network's weights")
    perceptual_side: int = Field(default=0, ge=0, description="side that images are resized to for it; 0: its own")
    masked_lm_weight: float = Field(default=1e-4, ge=0, description="factor of LQAE's masked cross entropy")
    layer_dropout: float = Field(
        default=0.2, ge=0, lt=1, description="part of the images that are decoded from their first layers only"
    )


class DataConfig(StrictGroup):
    """Images and batches."""

    source: str = Field(default="pictograms", description="pictograms, pictograms-more, mnist, or SCHEME:LOCATION")
    exclude_classes: str = Field(default="", description="list of classes to leave out: its name, or a file of names")
    augment: float = Field(default=1.0, ge=0, description="strength of the random changes of the images")
    batch_size: int = Field(default=64, gt=0, le=1_000_000, description="images of one step, over all processes")
    decode_batch_size: int = Field(
        default=64, gt=0, description="images of a batch that are decoded; the rest train the semantic loss alone"
    )

    @property
    def images_decoded(self) -> int:
        """Images of a batch that are decoded: `decode_batch_size`, or all of a smaller batch."""
        return min(self.decode_batch_size, self.batch_size)


class OptimizerConfig(StrictGroup):
    """Where the weights start, and how they move."""

    init_from: str = Field(default="", description="folder or checkpoint whose weights the run starts from")
    inflation: Literal["", "central", "average"] = Field(
        default="", description="how kernels of images in `init_from` become kernels of videos"
    )
    steps: int = Field(gt=0, description="length of the run")
    gradient_accumulation_steps: int = Field(default=1, gt=0, description="microbatches of a process's batch")
    learning_rate: float = Field(default=1e-3, gt=0, description="peak learning rate of Adam")
    discriminator_lr: float = Field(default=1e-4, gt=0, description="peak learning rate of the discriminator")
    betas: tuple[float, float] = Field(default=(0.9, 0.99), description="Adam's decay rates")
    weight_decay: float = Field(default=0.0, ge=0, description="decoupled weight decay")
    max_grad_norm: float = Field(default=1.0, gt=0, description="norm that the gradient is clipped to")
    warmup_steps: int = Field(default=100, ge=0, description="steps of linear warm-up")
    cooldown_fraction: float = Field(default=0.4, ge=0, le=1, description="last part of the run, with a linear decay")
    schedule: Literal["inverse_sqrt", "cosine", "constant"] = Field(
        default="inverse_sqrt", description="learning rate between warm-up and cool-down"
    )
    ema_decay: float = Field(default=0.995, ge=0, lt=1, description="decay of the averaged weights, which are saved")
    seed: int = Field(default=0, ge=0, description="seed of all randomness")
    precision: Literal["no", "bf16", "fp16"] = Field(
        default="bf16", description="arithmetic of convolutions and distances in training; no: float32"
    )

    def rate(self, step: int) -> float:
        """The learning rate at `step` (from 0): linear warm-up, the schedule, linear cool-down.

        The inverse square root is of the steps since warm-up, in units of a quarter of the run, so
        that a short run is not at a fraction of its rate after the first hundred steps. The cosine
        falls to 0 at the end of the run by itself: such recipes set cooldown_fraction to 0.
        """
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        done = max(0, step - self.warmup_steps) / self.steps
        if self.schedule == "inverse_sqrt":
            decay = (1 + 4 * done) ** -0.5
        elif self.schedule == "cosine":
            since = max(0, step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
            decay = (1 + math.cos(math.pi * since)) / 2
        else:
            decay = 1.0
        left = (self.steps - step) / max(1.0, self.cooldown_fraction * self.steps)
        return self.learning_rate * warm * decay * min(1.0, left)


class LoggingConfig(StrictGroup):
    """Evaluation, checkpoints and sample grids."""

    evaluate_every: int = Field(default=250, gt=0, description="steps between evaluations")
    evaluate_images: int = Field(default=1000, gt=0, description="at most this many held-out images are evaluated")
    checkpoint_every: int = Field(default=100, gt=0, description="steps between checkpoints")
    keep_checkpoints: int = Field(default=2, gt=0, description="newest checkpoints that are kept")
    samples_every: int = Field(default=500, gt=0, description="steps between figures: sample grids and curves")


class Recipe(StrictGroup):
    """All that decides the weights a run ends with, and how often it is evaluated."""

    name: PlainName = Field(description="name of the recipe and of the model it trains")
    model: ModelConfig = Field(description="shape of the model")
    semantics: SemanticsConfig = Field(default=SemanticsConfig(), description="semantic loss")
    appearance: AppearanceConfig = Field(default=AppearanceConfig(), description="appearance loss and discriminator")
    data: DataConfig = Field(default=DataConfig(), description="images and batches")
    optimizer: OptimizerConfig = Field(description="start and movement of the weights")
    logging: LoggingConfig = Field(default=LoggingConfig(), description="evaluation and checkpoints")

    @model_validator(mode="after")
    def _check(self) -> Self:
        model, semantics, data, optimizer = self.model, self.semantics, self.data, self.optimizer
        thresholds, depth = len(semantics.thresholds), model.layers.depth
        if model.codebook == "learned" and thresholds:
            raise ValueError("a learned codebook has no words for a semantic loss: leave semantics.thresholds empty")
        if thresholds > depth:
            raise ValueError(f"thresholds are for the first layers of {depth}, got {thresholds} of them")
        if model.projected_layers + thresholds > depth:
            raise ValueError(
                f"a layer with a threshold searches whole embeddings: of {depth} layers, thresholds ({thresholds}) and "
                f"projected_layers ({model.projected_layers}) take more"
            )
        if semantics.semantic_warmup_steps >= optimizer.steps:
            raise ValueError(
                "semantic_warmup_steps must leave steps that decode, got "
                f"{semantics.semantic_warmup_steps} of {optimizer.steps}"
            )
        if semantics.semantic_warmup_steps and self.appearance.gan != "none":
            raise ValueError("a discriminator needs decoded images from the first step: set semantic_warmup_steps to 0")
        if optimizer.inflation and not (optimizer.init_from and model.num_frames):
            raise ValueError("inflation needs weights of images and a model of videos: set init_from and num_frames")
        parts = optimizer.gradient_accumulation_steps
        if data.batch_size % parts or data.images_decoded % parts:
            raise ValueError(
                f"microbatches have equal sizes: batch_size {data.batch_size} and decode_batch_size "
                f"{data.images_decoded} must be divisible by gradient_accumulation_steps {parts}"
            )
        return self

    def replace(self, changes: Mapping[str, object], where: str = "recipe") -> Recipe:
        """The recipe with some fields changed, by dotted name ("optimizer.steps").

        Args:
            where: how messages call the changes.

        Raises:
            InputError: an unknown field, or values that do not fit.
        """
        values: dict[str, Any] = json.loads(self.model_dump_json())
        for key, value in changes.items():
            group, _, field = key.rpartition(".")
            target = values.get(group) if group else values
            if not isinstance(target, dict) or isinstance(target.get(field, {}), dict):
                raise self._unknown_field(key, where)
            target[field] = value
        return parse_recipe(values, where)

    def with_settings(self, settings: Sequence[str]) -> Recipe:
        """The recipe with some fields changed, each given as "group.field=value" with a JSON value or plain text.

        Raises:
            InputError: not group.field=value, an unknown field, or a value that does not fit.
        """
        changes: dict[str, object] = {}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals:
                raise InputError(f"--set takes GROUP.FIELD=VALUE, got {setting!r}")
            try:
                changes[key] = json.loads(value)
            except json.JSONDecodeError:
                changes[key] = value
        changed = self.replace(changes, "--set")
        changed.check_parts("--set" if settings else f"recipe {self.name}")
        return changed

    def check_parts(self, where: str) -> None:
        """Refuse names that no registry has, and parts that do not fit together.

        Args:
            where: how the message calls the recipe.

        Raises:
            InputError: an unknown network, perceptual loss or scheme of data, or a grid that is not the pyramid's.
        """
        try:
            check_grid(self.model)
            if self.appearance.perceptual != "none":
                check_perceptual(self.appearance.perceptual, self.appearance.perceptual_side or None)
            if self.data.source:
                check_source(self.data.source, self.model.num_frames, self.data.exclude_classes)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error

    def _unknown_field(self, key: str, where: str) -> InputError:
        return InputError(
            f"{where}: a recipe has no field {key!r}: {_near_fields(key, [name for name, _, _ in self.fields()])}"
            f"`python -m spae recipes {self.name}` lists them all"
        )

    def fields(self) -> Iterator[tuple[str, object, str]]:
        """Every field: dotted name, value and description."""
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if not isinstance(value, StrictGroup):
                yield name, value, info.description or ""
                continue
            for field, inner in type(value).model_fields.items():
                yield f"{name}.{field}", getattr(value, field), inner.description or ""


def _near_fields(key: str, known: Sequence[str]) -> str:
    """The fields that a user may have meant: of that name in any group, of an abbreviation, or spelled alike."""
    short = key.rpartition(".")[2]
    wanted = ABBREVIATIONS.get(short, short)
    near = [name for name in known if name.rpartition(".")[2] == wanted]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}? "
    last = {name.rpartition(".")[2]: name for name in known}
    found = difflib.get_close_matches(short, last, n=1)
    return f"did you mean {last[found[0]]!r}? " if found else did_you_mean(key, known)


def parse_recipe(values: Mapping[str, object], where: str) -> Recipe:
    """A recipe from values of JSON's types. Raises InputError that names the first field that does not fit."""
    try:
        return Recipe.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise InputError(f"{where}: {first_problem(error)}"[:400]) from error
