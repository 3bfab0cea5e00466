"""A language model that repeats the prompt's last word but one, and finds short texts likelier than long ones."""

from collections.abc import Sequence

from pydantic import Field

from llm_backends.protocol import (
    Capabilities,
    Choice,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
)
from spae.canonical import Frozen


class ParrotOptions(Frozen):
    """What --llm-args sets."""

    loud: bool = Field(default=False, description="reply in capital letters")


class Parrot:
    def __init__(self, name: str, loud: bool) -> None:
        self.loud = loud
        self.identity = Identity(
            kind="parrot", model=f"parrot-{name or 'grey'}", revision="2" if loud else "1", dtype="none"
        )
        self.capabilities = Capabilities(
            likelihood=True, samples=None, token_prompts=False, tokenizer=True, context_length=None
        )

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        words = [str(request.prompt).split()[-2] for request in requests]
        said = [word.upper() if self.loud else word for word in words]
        return [Completion(choices=(Choice(text=f" {word}\n", finish="stop"),)) for word in said]

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        return [Likelihoods(values=tuple(-float(len(text)) for text in one.continuations)) for one in requests]


def open_parrot(argument: str, *, dtype: str, device: str, options: ParrotOptions) -> Parrot:
    return Parrot(argument, options.loud)
