"""A run as a value: the tasks, tokenizers, model and samples that decide its records. Its hash names the results."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from spae.canonical import Frozen, sha256_json


class RunConfig(Frozen):
    """Everything that decides the records of a run. Where replies come from (cache or model) is not part of it."""

    tasks: tuple[str, ...] = Field(min_length=1, description="names in the task registry")
    tokenizers: tuple[str, ...] = Field(min_length=1, description="names in the tokenizer registry, or folders")
    llm: str = Field(description="name in the backend registry, with its argument")
    dtype: str = Field(default="float32", description="arithmetic of a local model")
    context_length: int | None = Field(
        default=None, gt=0, description="tokens of prompt and reply together; None for what the model states"
    )
    data: str | None = Field(default=None, description="name of an image set or a path; None for the task's default")
    settings: tuple[str, ...] | None = Field(default=None, description="setting ids; None for all of the task's")
    layers: tuple[str, ...] = Field(min_length=1, description="layer subsets, '1-2'; a flat tokenizer has layer 1 only")
    scorings: tuple[str, ...] = Field(min_length=1, description="scoring rules")
    prompt_style: Literal["gpt", "palm"] = Field(description="prompt style")
    limit: int = Field(gt=0, description="samples a setting")
    seed: int = Field(description="of the samples")
    shuffle_images: bool = Field(
        default=False, description="also ask with every image's words replaced by another image's"
    )

    @property
    def fingerprint(self) -> str:
        """sha256 over every field."""
        return sha256_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json")
