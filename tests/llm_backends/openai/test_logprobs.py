"""Log-likelihoods from echoed prompts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_backends.errors import BackendInputError, CallFailed
from llm_backends.openai.logprobs import Echo, check_order, echo_body, likelihoods, read_echo
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
    "tokens",
    [
        pytest.param(["A", " lion"], id="one is missing"),
        pytest.param(["A", ":"], id="the end is missing"),
        pytest.param([], id="none"),
        pytest.param(["A", ":", " lion"], id="the new token is missing, as from llama-cpp-python"),
        pytest.param(["\u0120A", ":", "\u0120lion", "!"], id="spaces spelled otherwise"),
        pytest.param(["A", ":", "lion", "!"], id="spaces stripped"),
        pytest.param(["token_id:17", "token_id:3", "token_id:4", "token_id:9"], id="ids"),
        pytest.param(["A", ":", "\ufffd", "\ufffd", "!"], id="parts of a character"),
    ],
)
def test_tokens_that_are_not_the_text_end_the_run_by_name(tokens: list[str]) -> None:
    """Which texts fail would depend on their letters, so it is no matter of single requests."""
    with pytest.raises(BackendInputError, match="the echoed tokens must make up the prompt and the new token"):
        read_echo(reply("A: lion!", tokens, [None, *[-1.0] * len(tokens)][: len(tokens)]), "A: lion")


@pytest.mark.parametrize(
    ("whole", "tokens", "offsets", "starts"),
    [
        pytest.param("A: é!", ["A", ":", " ", "\ufffd", "\ufffd", "!"], [0, 1, 2, 3, 3, 4], (0, 1, 2, 3, 3),
                     id="U+FFFD"),
        pytest.param("A: é!", ["A", ":", " ", "", "", "!"], [0, 1, 2, 3, 4, 4], (0, 1, 2, 3), id="empty"),
        pytest.param("A: lion!", ["A", ":", "\u0120lion", "!"], [0, 1, 2, 7], (0, 1, 2), id="byte-level spaces"),
        pytest.param("A: lion!", ["A", ":", "lion", "!"], [0, 1, 2, 7], (0, 1, 2), id="stripped spaces"),
        pytest.param("A: é!", ["A", ":", "\u0120\u00c3\u00a9", "!"], [0, 1, 2, 4], (0, 1, 2), id="byte-level letters"),
        pytest.param("A: lion!", ["token_id:1", "token_id:2", "token_id:3", "token_id:4"], [0, 1, 2, 7], (0, 1, 2),
                     id="ids"),
        pytest.param("A: lion!", ["<s>", "A", ":", "lion", "!"], [0, 0, 1, 2, 7], (0, 0, 1, 2), id="a leading mark"),
    ],
)  # fmt: skip
def test_stated_places_are_used_where_spellings_are_not_the_text(
    whole: str, tokens: list[str], offsets: list[int], starts: tuple[int, ...]
) -> None:
    nats = [None, *(-float(i) for i in range(1, len(tokens)))]
    echo = read_echo(reply(whole, tokens, nats, text_offset=offsets), whole[:-1])
    assert echo.starts == starts and echo.nats == tuple(nats[: len(starts)])


@pytest.mark.parametrize(
    "offsets",
    [
        pytest.param([0, 1, 2, 4, 3], id="not ascending"),
        pytest.param([0, 1, 2, 4], id="too few"),
        pytest.param([0, 1, 2, 4, 6], id="in bytes"),
        pytest.param([0, 1, 2, 4, 99], id="beyond the text"),
        pytest.param([2, 3, 4, 5, 6], id="counted from elsewhere"),
        pytest.param([0, 1, 2, 3, 3], id="without the new token"),
        pytest.param(["0", 1, 2, 3, 4], id="not numbers"),
        pytest.param(5, id="no list"),
    ],
)
def test_places_that_do_not_fit_the_text_are_not_used(offsets: Any) -> None:
    # The place of "a" after the two bytes of "é" tells bytes from characters.
    with pytest.raises(BackendInputError, match="spells them otherwise"):
        read_echo(reply("A:éa!", ["A", ":", "\ufffd", "a", "!"], [None, *[-1.0] * 4], text_offset=offsets), "A:éa")


def test_malformed_log_probabilities_are_not_retried() -> None:
    for odd in (
        read_reply(None, b'{"choices": [{"text": "A", "finish_reason": "stop", "logprobs": {"x": 1}}]}'),
        reply("A!", ["A", "!"], [None]),
    ):
        with pytest.raises(Unusable) as caught:
            read_echo(odd, "A")
        assert caught.value.lasting


@pytest.mark.parametrize("nats", [None, float("nan"), float("-inf"), float("inf"), 0.5, 1e-9, 1e308])
def test_what_is_no_log_probability_is_a_failure(nats: float | None) -> None:
    with pytest.raises(CallFailed, match="finite log-probability of at most 0") as caught:
        likelihoods("A", [Echo((0, 1), (None, -1.0)), Echo((0, 1), (None, nats))])
    assert caught.value.lasting


def test_sums_do_not_overflow() -> None:
    assert likelihoods("A", [Echo((0, 1), (None, -1e308))]).values == (-1e308,)
    with pytest.raises(CallFailed, match="must be finite"):
        likelihoods("A", [Echo((0, 1, 2, 3), (None, -1e308, -1e308, -1e308))])


def test_nothing_left_to_condition_on_is_a_failure() -> None:
    with pytest.raises(CallFailed):
        likelihoods("A", [Echo((0,), (None,))])


def test_the_token_that_greedy_decoding_chose_must_be_the_likeliest() -> None:
    check_order("h", " ten", [" ha", " very"], [-0.4, -9.0, -8.0])
    check_order("h", " ten", [" ha"], [-1.0, -0.99])  # rounding between two calls
    with pytest.raises(BackendInputError, match=r"gives that -9\.00 nats, but ' very' -2\.00; llama-cpp-python"):
        check_order("h", " ten", [" ha", " very"], [-9.0, -3.0, -2.0])
