"""Which failures last: what a run may stop for."""

from __future__ import annotations

from typing import get_args

import pytest

from llm_backends.errors import CallFailed
from llm_backends.protocol import Choice, Completion, CompletionRequest, LikelihoodRequest, Likelihoods
from llm_backends.scripted.backend import Script, ScriptedBackend
from llm_backends.scripted.injected_failures import LASTING, RETRYABLE, InjectedFailure, Kind
from tests.llm_backends.behind_store import ask, behind


def test_a_failure_passes_unless_it_is_said_to_last() -> None:
    assert not CallFailed("x").lasting and CallFailed("x", lasting=True).lasting
    assert str(CallFailed("x", lasting=True)) == "x"


@pytest.mark.parametrize("kind", get_args(Kind))
def test_injected_failures_last_as_a_servers_do(kind: Kind) -> None:
    error = InjectedFailure(error=kind).as_error()
    if isinstance(error, CallFailed):
        assert error.lasting == (kind in LASTING) and not (error.lasting and kind in RETRYABLE)


class Odd(ScriptedBackend):
    """Gives replies that answer no request."""

    def complete(self, requests: object) -> list[Completion]:
        return [Completion(choices=(Choice(text="", finish="length"),))]

    def loglikelihood(self, requests: object) -> list[Likelihoods]:
        return [Likelihoods(values=(0.5,))]


@pytest.mark.parametrize(
    ("request_", "lasting"),
    [
        (ask("a"), True),
        (CompletionRequest(prompt="a", max_new_tokens=2, temperature=1.0), False),
        (LikelihoodRequest(context="a", continuations=("b",)), True),
    ],
)
def test_replies_that_answer_nothing_last_where_the_model_is_deterministic(
    request_: CompletionRequest | LikelihoodRequest, lasting: bool
) -> None:
    (answer,) = behind(Odd(Script()), None).ask([request_])
    assert isinstance(answer.error, CallFailed) and answer.error.lasting is lasting


def test_prompts_without_a_reply_in_a_script_last() -> None:
    (answer,) = behind(ScriptedBackend(Script()), None).ask([ask("a")])
    assert isinstance(answer.error, CallFailed) and answer.error.lasting
