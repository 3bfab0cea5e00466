"""Whether a request is one that a model can be asked, told before anything is sent or computed."""

from __future__ import annotations

from llm_backends.errors import BackendInputError
from llm_backends.protocol import Capabilities, Identity, LikelihoodRequest, Request


def check_allowed(capabilities: Capabilities, identity: Identity, request: Request) -> None:
    """Returns where the model can be asked this.

    Raises:
        BackendInputError: log-likelihoods, several samples or token ids are asked of a model that gives or takes none;
            or several samples of a greedy reply, which are one reply.
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
