"""A run as a value: what is asked of which model about which images. Its hash names the results."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LATER: dict[str, Any] = {"shuffle_images": False}
"""Fields that runs made before had not, and the value that means what those runs did."""


class RunConfig(BaseModel):
    """Everything that decides the records of a run; how they are come by (cache, live) is not part of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[str, ...] = Field(min_length=1, description="names in the task registry")
    tokenizers: tuple[str, ...] = Field(min_length=1, description="names in the tokenizer registry, or folders")
    llm: str = Field(description="name in the backend registry, with its argument")
    dtype: str = Field(default="float32", description="arithmetic of a local model")
    context_length: int | None = Field(
        default=None, gt=0, description="tokens of prompt and reply together; None is what the model states"
    )
    data: str | None = Field(default=None, description="name of an image set or a path; None is the task's own default")
    settings: tuple[str, ...] | None = Field(default=None, description="setting ids; None is all of the task's")
    layers: tuple[str, ...] = Field(min_length=1, description="layer subsets, '1-2'; a flat tokenizer has layer 1 only")
    scorings: tuple[str, ...] = Field(min_length=1, description="scoring rules")
    prompt_style: Literal["gpt", "palm"] = Field(description="prompt style")
    limit: int = Field(gt=0, description="episodes a setting")
    seed: int = Field(description="of the episodes")
    shuffle_images: bool = Field(
        default=False, description="ask each question also with every image's words replaced by another image's"
    )

    @property
    def fingerprint(self) -> str:
        """sha256 over every field."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()

    def plain(self) -> dict[str, Any]:
        """As JSON values; without what came later and is not asked for, so that earlier runs keep their names."""
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if name not in LATER or value != LATER[name]}
