"""The one protocol of a language model, and the values that cross it.

Requests and replies are frozen pydantic models, so that they hash, compare and store as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """A value: validated once, never changed, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Identity(Frozen):
    """What makes two models different: everything of a model that belongs in a cache key."""

    kind: str = Field(description="backend kind: 'transformers', 'scripted', ...")
    model: str = Field(description="model id: 'SmolLM2-135M-Instruct'")
    revision: str = Field(description="exact revision: a sha256 of the weights file or a commit")
    dtype: str = Field(description="arithmetic and quantisation: 'float32'")


class CompletionRequest(Frozen):
    """Ask for text after a prompt."""

    prompt: str
    max_new_tokens: int = Field(gt=0)
    stop: tuple[str, ...] = Field(default=(), description="the reply is cut before the first of these")
    temperature: float = Field(default=0.0, ge=0.0, description="0 is greedy")
    seed: int = Field(default=0, description="used only where temperature > 0")


class Completion(Frozen):
    """The reply to a CompletionRequest, as the model gave it (not stripped)."""

    text: str
    finish: str = Field(description="'stop' at a stop string or end of text, 'length' at max_new_tokens")


class LikelihoodRequest(Frozen):
    """Ask how likely each continuation is after a context."""

    context: str
    continuations: tuple[str, ...] = Field(min_length=1)


class Likelihoods(Frozen):
    """The reply to a LikelihoodRequest: per continuation, the sum of its tokens' log-probabilities in nats."""

    values: tuple[float, ...]


Request = CompletionRequest | LikelihoodRequest
Reply = Completion | Likelihoods


@runtime_checkable
class Backend(Protocol):
    """A frozen language model."""

    @property
    def identity(self) -> Identity:
        """Known without loading weights."""
        ...

    @property
    def context_length(self) -> int | None:
        """In tokens; None where unknown."""
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens the model's own tokenizer makes of `text`."""
        ...

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """One reply per request, in order. Raises PromptTooLong, CallFailed."""
        ...

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        """One reply per request, in order. Raises PromptTooLong, BackendInputError where the model gives none."""
        ...
