"""A language model that repeats the prompt's last word but one, and finds short texts likelier than long ones."""

from collections.abc import Sequence

from llm_backends.protocol import (
    Capabilities,
    Choice,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
)


class Parrot:
    def __init__(self, name: str) -> None:
        self.identity = Identity(kind="parrot", model=f"parrot-{name or 'grey'}", revision="1", dtype="none")
        self.capabilities = Capabilities(
            likelihood=True, samples=None, token_prompts=False, tokenizer=True, context_length=None
        )

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        words = [str(request.prompt).split()[-2] for request in requests]
        return [Completion(choices=(Choice(text=f" {word}\n", finish="stop"),)) for word in words]

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        return [Likelihoods(values=tuple(-float(len(text)) for text in one.continuations)) for one in requests]


def open_parrot(argument: str, *, dtype: str, device: str, options: object) -> Parrot:
    return Parrot(argument)
