"""Requests beyond a model's capabilities fail before anything is sent."""

from __future__ import annotations

import pytest

from llm_backends.errors import BackendInputError
from llm_backends.protocol import (
    Capabilities,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Request,
    check_allowed,
)

MODEL = Identity(kind="k", model="m", revision="r", dtype="float32")
LITTLE = Capabilities(likelihood=False, samples=2, token_prompts=False, tokenizer=False, context_length=None)
MUCH = Capabilities(likelihood=True, samples=None, token_prompts=True, tokenizer=True, context_length=9)


def ask(**fields: object) -> CompletionRequest:
    return CompletionRequest.model_validate({"prompt": "a", "max_new_tokens": 1, **fields})


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (LikelihoodRequest(context="a", continuations=("b",)), "gives none: use --scoring exact"),
        (ask(n=3, temperature=1.0), "at most 2 replies to a prompt, got n 3"),
        (ask(prompt=(1, 2, 3)), "a prompt of 3 token ids"),
    ],
)
def test_requests_beyond_the_capabilities_are_refused(request_: Request, words: str) -> None:
    check_allowed(MUCH, MODEL, request_)
    with pytest.raises(BackendInputError, match=words):
        check_allowed(LITTLE, MODEL, request_)


def test_several_greedy_replies_are_refused() -> None:
    for capabilities in (LITTLE, MUCH):
        check_allowed(capabilities, MODEL, ask(n=2, temperature=0.1))
        check_allowed(capabilities, MODEL, ask())
        with pytest.raises(BackendInputError, match="temperature above 0, got n 2"):
            check_allowed(capabilities, MODEL, ask(n=2))
