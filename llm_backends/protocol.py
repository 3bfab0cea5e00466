"""The one protocol of a language model, and the values that cross it.

Requests and replies are frozen pydantic models, so that they hash, compare and store as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

from pydantic import Field

from llm_backends.errors import BackendError, BackendInputError
from spae.canonical import Frozen


class Identity(Frozen):
    """What makes two models different: everything of a model that belongs in a cache key."""

    kind: str = Field(description="backend kind: 'transformers', 'scripted', ...")
    model: str = Field(description="model id: 'SmolLM2-135M-Instruct'")
    revision: str = Field(description="exact revision: a sha256 of the weights file or a commit")
    dtype: str = Field(description="arithmetic and quantisation: 'float32'")


class Capabilities(Frozen):
    """What a model can do, known without loading weights or opening a connection."""

    likelihood: bool = Field(description="gives log-likelihoods of given continuations, which ranked scoring needs")
    samples: int | None = Field(description="most replies to one prompt in one call; None: any number")
    token_prompts: bool = Field(description="takes a prompt as token ids")
    tokenizer: bool = Field(description="`count_tokens` is the model's own count, not an estimate")
    context_length: int | None = Field(description="in tokens, prompt and reply together; None if unknown")


class CompletionRequest(Frozen):
    """Ask for text after a prompt."""

    prompt: str | tuple[int, ...] = Field(description="text, or ids of the model's own tokenizer")
    max_new_tokens: int = Field(gt=0)
    stop: tuple[str, ...] = Field(default=(), description="the reply is cut before the first of these")
    temperature: float = Field(default=0.0, ge=0.0, allow_inf_nan=False, description="0 is greedy")
    n: int = Field(default=1, gt=0, description="replies wanted; more than one only with temperature > 0")
    seed: int = Field(default=0, description="used only with temperature > 0")


class Choice(Frozen):
    """One reply to a prompt, as the model gave it (not stripped)."""

    text: str
    finish: Literal["stop", "length"] = Field(
        description="'stop' at a stop string or end of text, 'length' at the limit"
    )


class Completion(Frozen):
    """The reply to a CompletionRequest: `n` choices."""

    choices: tuple[Choice, ...] = Field(min_length=1)

    @property
    def text(self) -> str:
        """Text of the first choice."""
        return self.choices[0].text

    @property
    def finish(self) -> str:
        """Finish of the first choice."""
        return self.choices[0].finish


class LikelihoodRequest(Frozen):
    """Ask how likely each continuation is after a context."""

    context: str
    continuations: tuple[str, ...] = Field(min_length=1)


class Likelihoods(Frozen):
    """The reply to a LikelihoodRequest: per continuation, the sum of its tokens' log-probabilities in nats."""

    values: tuple[float, ...]


class Failure(Frozen):
    """Why a request has no reply, for those who asked it."""

    reason: Literal["too_long", "failed"] = Field(
        description="'too_long': the prompt does not fit the model's context; 'failed': the call gave no usable reply"
    )
    message: str = Field(description="one line: the rule, the value seen and the fix")


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
    def capabilities(self) -> Capabilities:
        """What it can do; asking for more raises BackendInputError (see `check_allowed`)."""
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens the model's own tokenizer makes of `text`."""
        ...

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """One reply per request, in order. Raises PromptTooLong, CallFailed."""
        ...

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        """One reply per request, in order. Raises PromptTooLong, CallFailed."""
        ...


@runtime_checkable
class Streams(Protocol):
    """A backend that yields each reply as soon as it has it, and isolates failures to their own request."""

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        """(index, reply or this request's error), each index once, in any order.

        Raises:
            BackendUnavailable, BackendInputError, BudgetSpent: nothing more can be asked; replies yielded so far are
                valid.
        """
        ...


class StreamingBackend:
    """`complete` and `loglikelihood` of a backend that streams."""

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        """As `Streams.stream`."""
        raise NotImplementedError

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """One reply per request, in order. Raises as `stream`, and the first request's error that it yields."""
        return [reply for reply in self._replies(requests) if isinstance(reply, Completion)]

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        """One reply per request, in order. Raises as `complete`."""
        return [reply for reply in self._replies(requests) if isinstance(reply, Likelihoods)]

    def _replies(self, requests: Sequence[Request]) -> list[Reply]:
        found: dict[int, Reply] = {}
        for index, reply in self.stream(requests):
            if isinstance(reply, BackendError):
                raise reply
            found[index] = reply
        return [found[index] for index in range(len(requests))]


@runtime_checkable
class Loads(Protocol):
    """A backend that loads its weights at the first request, or on demand."""

    def load(self) -> None:
        """Loads the model now. Raises BackendUnavailable, as the first request would."""
        ...


@runtime_checkable
class ChecksKey(Protocol):
    """A backend that asks with a key."""

    def check_key(self) -> None:
        """Raises what the first request would for a key that is missing or unusable; opens no connection."""
        ...


@runtime_checkable
class Closes(Protocol):
    """A backend that holds connections or other resources."""

    def close(self) -> None:
        """Releases them; a later request opens new ones."""
        ...


def check_allowed(capabilities: Capabilities, identity: Identity, request: Request) -> None:
    """Checks a request against a model's capabilities, before anything is sent or computed.

    Raises:
        BackendInputError: log-likelihoods, more samples or token ids than the model takes; or several samples at
            temperature 0, where all of them are equal.
    """
    model = identity.model
    if isinstance(request, LikelihoodRequest):
        if not capabilities.likelihood:
            raise BackendInputError(
                f"ranked scoring needs log-likelihoods, {model} gives none: use --scoring exact, or another --llm"
            )
        return
    if request.n > 1 and request.temperature == 0:
        raise BackendInputError(f"several samples need a temperature above 0, got n {request.n} at 0: ask for one")
    if capabilities.samples is not None and request.n > capabilities.samples:
        raise BackendInputError(
            f"{model} gives at most {capabilities.samples} replies to a prompt, got n {request.n}: "
            "ask for fewer, each with its own seed"
        )
    if not isinstance(request.prompt, str) and not capabilities.token_prompts:
        raise BackendInputError(f"{model} takes text, got a prompt of {len(request.prompt)} token ids: send its text")
