"""No language model, `--llm none`: for tasks that ask nothing, such as reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from llm_backends.errors import BackendInputError
from llm_backends.options import NoOptions
from llm_backends.protocol import Capabilities, CompletionRequest, Identity, LikelihoodRequest


def open_none(argument: str, *, dtype: str, device: str, options: NoOptions) -> NoModel:
    """Every argument is ignored: nothing is computed."""
    return NoModel()


class NoModel:
    """Refuses every request."""

    identity = Identity(kind="none", model="none", revision="none", dtype="none")
    # Whatever is asked is refused by one message, below.
    capabilities = Capabilities(likelihood=True, samples=None, token_prompts=True, tokenizer=True, context_length=None)

    def count_tokens(self, text: str) -> int:
        """0: there is no tokenizer."""
        return 0

    def complete(self, requests: Sequence[CompletionRequest]) -> NoReturn:
        """Raises BackendInputError."""
        _refuse()

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> NoReturn:
        """Raises BackendInputError."""
        _refuse()


def _refuse() -> NoReturn:
    raise BackendInputError(
        "--llm none answers no request, and this task asks one: pass another --llm, such as smollm2"
    )
