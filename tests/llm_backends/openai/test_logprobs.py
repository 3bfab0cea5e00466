"""Log-likelihoods from echoed prompts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_backends.errors import BackendInputError, CallFailed
from llm_backends.openai.logprobs import Echo, echo_body, likelihoods, read_echo
from llm_backends.openai.schema import Unusable, WireReply, read_reply


def reply(text: str, tokens: list[str], nats: list[float | None], **more: Any) -> WireReply:
    choice = {"text": text, "finish_reason": "length", "logprobs": {"tokens": tokens, "token_logprobs": nats} | more}
    return read_reply(None, json.dumps({"choices": [choice]}).encode())


def test_the_extra_token_is_dropped() -> None:
    assert echo_body("A: lion", "m")["echo"] is True and echo_body("A: lion", "m")["max_tokens"] == 1
    echo = read_echo(reply("A: lion!", ["A", ":", " lion", "!"], [None, -1.0, -2.0, -9.0]), "A: lion")
    assert echo == Echo((0, 1, 2), (None, -1.0, -2.0))


def test_a_leading_special_token_is_not_part_of_the_text() -> None:
    echo = read_echo(reply("A: lion!", ["<s>", "A", ":", " lion", "!"], [None, -0.5, -1.0, -2.0, -9.0]), "A: lion")
    assert echo == Echo((0, 1, 2), (-0.5, -1.0, -2.0))


def test_sums_after_the_context() -> None:
    echoes = [Echo((0, 1, 2), (None, -1.0, -2.0)), Echo((0, 1, 2, 5), (None, -1.0, -3.0, -0.5))]
    assert likelihoods("A:", echoes).values == (-2.0, -3.5)


def test_a_token_across_the_border_moves_it_for_all() -> None:
    # "A: " ends in a space that belongs to the token " lion": of the second text, ":" and "  v" are cut likewise.
    echoes = [Echo((0, 1, 2), (None, -1.0, -2.0)), Echo((0, 1, 3, 4), (None, -1.5, -0.25, -0.5))]
    # At 2 no token of the second begins, so the border moves on to 1, where one of both does.
    assert likelihoods("A: ", echoes).values == (-3.0, -2.25)


@pytest.mark.parametrize(
    "odd",
    [
        reply("something else", ["something", " else"], [None, -1.0]),
        read_reply(None, b'{"choices": [{"text": "A: lion", "finish_reason": "stop"}]}'),
    ],
)
def test_servers_that_do_not_echo(odd: WireReply) -> None:
    with pytest.raises(BackendInputError, match="--scoring exact, prefix or contains"):
        read_echo(odd, "A: lion")


@pytest.mark.parametrize(
    ("tokens", "nats"),
    [
        (["A", ":", " lion"], [None, -1.0]),
        (["A", " lion"], [None, -1.0]),
        (["A", ":"], [None, -1.0]),
        ([], []),
    ],
)
def test_tokens_that_differ_from_the_text_are_refused(tokens: list[str], nats: list[float | None]) -> None:
    with pytest.raises(Unusable):
        read_echo(reply("A: lion", tokens, nats), "A: lion")


def test_malformed_log_probabilities_are_refused() -> None:
    with pytest.raises(Unusable):
        read_echo(read_reply(None, b'{"choices": [{"text": "A", "finish_reason": "stop", "logprobs": {"x": 1}}]}'), "A")
    for nats in (None, float("nan"), float("-inf")):
        with pytest.raises(CallFailed, match="finite"):
            likelihoods("A", [Echo((0, 1), (None, nats))])
    with pytest.raises(CallFailed):  # nothing is left to condition on
        likelihoods("A", [Echo((0,), (None,))])
