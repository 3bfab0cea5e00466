"""Echoed log-probabilities are checked once against the server's own greedy decoding."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pytest

from llm_backends.errors import BackendInputError, CallFailed
from llm_backends.openai.backend import OpenAIBackend
from llm_backends.openai.logprobs import PROBES
from llm_backends.openai.options import ServerOptions
from llm_backends.protocol import LikelihoodRequest
from tests.llm_backends.openai_server import FaultServer, Seen, tokens_of

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
CHAIN = [*NUMBERS, "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
ASK = LikelihoodRequest(context="one two three", continuations=(" four", " ha"))


def greedy(text: str) -> str:
    """The model's next word: the next number or day, else "five"."""
    last = text.split()[-1].strip(",")
    return f" {CHAIN[CHAIN.index(last) + 1]}" if last in CHAIN[:-1] else " five"


def probability(before: str, token: str) -> float:
    """Of a token after a text: the greedy one is likely, then an exclamation again, all others are rare."""
    if token.strip() == greedy(before).strip():
        return 0.6
    return 0.3 if before.split()[-1:] == token.split() and token.strip() not in CHAIN else 0.001


def answer(seen: Seen, *, shift: int = 0, left_out: int = 0, above: bool = False) -> tuple[int, bytes, dict[str, str]]:
    """The echo of a small model; with `shift` each token has its probability under a later position's distribution."""
    tokens = tokens_of(seen.prompt)
    whole = [*tokens, greedy(seen.prompt)]
    nats: list[float | None] = [None]
    for place in range(1, len(whole)):
        nats.append(math.log(probability("".join(whole[: place + shift]), whole[place])) + (9.0 if above else 0.0))
    shown = len(whole) - left_out
    logprobs = {"tokens": whole[:shown], "token_logprobs": nats[:shown]}
    choice = {"text": "".join(whole), "finish_reason": "length", "logprobs": logprobs}
    return 200, json.dumps({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}).encode(), {}


@pytest.fixture
def backend(server: FaultServer) -> Iterator[OpenAIBackend]:
    opened = OpenAIBackend("m", ServerOptions(base_url=server.url, echo_logprobs=True))
    yield opened
    opened.close()


def test_a_right_echo_is_probed_once_and_used(server: FaultServer, backend: OpenAIBackend) -> None:
    server.behaviour.refuse = answer
    for _ in range(2):
        (found,) = backend.loglikelihood([ASK])
        assert found.values == pytest.approx([math.log(0.6), math.log(0.001)])
    probes = [seen.prompt for seen in server.seen if seen.prompt.startswith(PROBES[0])]
    assert probes[0] == PROBES[0] and f"{PROBES[0]} Saturday" in probes and len(set(probes)) == len(probes)
    assert all(seen.body["echo"] for seen in server.seen)


def test_probabilities_of_the_next_position_are_refused_by_name(server: FaultServer, backend: OpenAIBackend) -> None:
    """As llama-cpp-python gives them, but complete: nothing else shows that they are wrong."""
    server.behaviour.refuse = lambda seen: answer(seen, shift=1)
    with pytest.raises(BackendInputError, match=r"' Saturday' and gives that .* llama-cpp-python shifts them"):
        backend.loglikelihood([ASK])
    assert all(seen.prompt.startswith(PROBES[0]) for seen in server.seen)


def test_an_echo_without_the_new_token_is_refused(server: FaultServer, backend: OpenAIBackend) -> None:
    server.behaviour.refuse = lambda seen: answer(seen, left_out=1)
    with pytest.raises(BackendInputError, match="leaves some out"):
        backend.loglikelihood([ASK])


def test_a_text_that_greedy_decoding_does_not_continue_is_no_probe(server: FaultServer, backend: OpenAIBackend) -> None:
    def ends(seen: Seen) -> tuple[int, bytes, dict[str, str]]:
        if not seen.prompt.startswith(PROBES[0]):
            return answer(seen)
        tokens = tokens_of(seen.prompt)
        logprobs = {"tokens": tokens, "token_logprobs": [None, *[-1.0] * (len(tokens) - 1)]}
        choice = {"text": seen.prompt, "finish_reason": "stop", "logprobs": logprobs}
        return 200, json.dumps({"choices": [choice]}).encode(), {}

    server.behaviour.refuse = ends
    assert len(backend.loglikelihood([ASK])) == 1
    assert {seen.prompt for seen in server.seen} >= {PROBES[0], PROBES[1]}


def test_log_probabilities_above_0_fail_their_request(server: FaultServer, backend: OpenAIBackend) -> None:
    server.behaviour.refuse = lambda seen: answer(seen, above=not seen.prompt.startswith(PROBES[0]))
    ((_, end),) = backend.stream([ASK])
    assert isinstance(end, CallFailed) and end.lasting and "at most 0" in str(end)
