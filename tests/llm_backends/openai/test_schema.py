"""Request bodies, and strict parsing of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_backends.errors import CallFailed
from llm_backends.openai.credentials import Redactor
from llm_backends.openai.schema import (
    CUT_REPLY,
    MAX_TOKEN_CHARACTERS,
    ErrorInside,
    Unusable,
    choices_of,
    completion_body,
    message_of,
    read_reply,
)
from llm_backends.protocol import Choice, CompletionRequest

ASK = CompletionRequest(prompt="P", max_new_tokens=7)
KEY = "sk-0123456789abcdef"
SCRUBBER = Redactor([KEY])
NATIVE = b'{"content": " lion", "stop": true, "tokens_predicted": 2}'
"""llama.cpp's own endpoint, at the same address without /v1."""


def body(*choices: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"choices": list(choices)} | more).encode()


def read(content: bytes, request: CompletionRequest = ASK, api: str = "completions", wanted: int = 1) -> list[Choice]:
    return choices_of(read_reply("application/json", content), request, api, wanted, SCRUBBER)  # type: ignore[arg-type]


def text(value: str | None, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {"index": 0, "text": value, "finish_reason": finish} | more


def message(content: Any, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", "content": content} | more, "finish_reason": finish}


def test_only_what_differs_from_the_default_is_sent() -> None:
    assert completion_body(ASK, "m", "completions", "max_tokens", 1, 0) == {
        "model": "m", "prompt": "P", "max_tokens": 7, "temperature": 0.0,
    }  # fmt: skip
    sampled = ASK.model_copy(update={"temperature": 0.5, "n": 3, "stop": ("\n",)})
    assert completion_body(sampled, "m", "chat", "max_completion_tokens", 2, 5) == {
        "model": "m", "messages": [{"role": "user", "content": "P"}], "max_completion_tokens": 7, "temperature": 0.5,
        "n": 2, "seed": 5, "stop": ["\n"],
    }  # fmt: skip
    stops = ASK.model_copy(update={"stop": ("\n", "a", "b", "c", "d", "e")})
    assert completion_body(stops, "m", "chat", "max_tokens", 1, 0)["stop"] == ["\n", "a", "b", "c"]
    assert completion_body(stops, "m", "chat", "max_tokens", 1, 0, blank_stops=False)["stop"] == ["a", "b", "c", "d"]
    ids = CompletionRequest(prompt=(4, 5), max_new_tokens=1)
    assert completion_body(ids, "m", "completions", "max_tokens", 1, 0)["prompt"] == [4, 5]


@pytest.mark.parametrize(
    ("choice", "api", "expected"),
    [
        pytest.param(text(" lion"), "completions", Choice(text=" lion", finish="stop"), id="stop"),
        pytest.param(text(""), "completions", Choice(text="", finish="stop"), id="empty"),
        pytest.param(text(" a", "eos_token"), "completions", Choice(text=" a", finish="stop"), id="another word"),
        pytest.param(message(" lion\n"), "chat", Choice(text=" lion\n", finish="stop"), id="chat"),
        pytest.param(message(None), "chat", Choice(text="", finish="stop"), id="chat, nothing said"),
        pytest.param(
            message([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "chat",
            Choice(text="ab", finish="stop"), id="chat, in parts",
        ),
    ],
)  # fmt: skip
def test_replies(choice: dict[str, Any], api: str, expected: Choice) -> None:
    assert read(body(choice), api=api) == [expected]


def test_text_after_a_stop_string_is_cut() -> None:
    stopping = ASK.model_copy(update={"stop": ("###", "\n")})
    assert read(body(text(" lion\nInput ###")), stopping) == [Choice(text=" lion", finish="stop")]
    # Cut before the limit, so it does not matter that the rest was cut by it.
    assert read(body(text(" lion\nI", "length"), usage={"prompt_tokens": 1, "completion_tokens": 2}), stopping) == [
        Choice(text=" lion", finish="stop")
    ]


@pytest.mark.parametrize(
    "counted",
    [
        pytest.param({"completion_tokens": 7}, id="all of them"),
        pytest.param({"completion_tokens": 6}, id="without the last one"),
        pytest.param({"completion_tokens": 3}, id="fewer"),
        pytest.param({"completion_tokens": 8}, id="with the end of text"),
        pytest.param({"completion_tokens": 0}, id="none"),
        pytest.param({}, id="not counted"),
    ],
)
def test_doubtful_counts_at_the_limit_are_tolerated(counted: dict[str, int]) -> None:
    usage = {"prompt_tokens": 9} | counted
    assert read(body(text(" a b", "length"), usage=usage)) == [Choice(text=" a b", finish="length")]
    several = [text(" a", "length"), text(" b", "length"), text(" c", "length")]  # the count of one of them
    assert [one.text for one in read(body(*several, usage=usage), wanted=3)] == [" a", " b", " c"]


@pytest.mark.parametrize("usage", [{"prompt_tokens": 9, "completion_tokens": 7}, None])
def test_no_text_at_the_limit_fails(usage: Any) -> None:
    for choice, api in ((text("", "length"), "completions"), (message(None, "length"), "chat")):
        with pytest.raises(CallFailed, match="must have some text") as caught:
            read(body(choice, usage=usage), api=api)
        assert caught.value.lasting
    with pytest.raises(CallFailed, match="must have some text") as caught:
        read(body(text("", "length")), ASK.model_copy(update={"temperature": 1.0}))
    assert not caught.value.lasting


def test_a_reply_far_longer_than_asked_for_is_cut_and_counted() -> None:
    notes: list[str] = []
    most = MAX_TOKEN_CHARACTERS * ASK.max_new_tokens
    for length, finish, count in ((most, "stop", 0), (most + 1, "length", 1), (3_000_000, "length", 2)):
        reply = read_reply(None, body(text("x" * length)))
        (choice,) = choices_of(reply, ASK, "completions", 1, SCRUBBER, notes.append)
        assert choice == Choice(text="x" * min(length, most), finish=finish)  # type: ignore[arg-type]
        assert notes == [CUT_REPLY] * count


@pytest.mark.parametrize("finish", [None, "", "STOP", "Stop", "END_TURN", "COMPLETE"])
def test_text_with_an_odd_reason_to_end_is_a_reply(finish: str | None) -> None:
    assert read(body(text(" lion", finish))) == [Choice(text=" lion", finish="stop")]
    assert read(body(message(" lion", finish)), api="chat") == [Choice(text=" lion", finish="stop")]


@pytest.mark.parametrize("finish", ["LENGTH", "MAX_TOKENS"])
def test_reasons_of_a_limit_in_any_case(finish: str) -> None:
    assert read(body(text(" lion", finish))) == [Choice(text=" lion", finish="length")]


@pytest.mark.parametrize(
    ("kind", "content", "failure"),
    [
        ("text/html", body(text(" a")), "content type"),
        ("text/plain; charset=utf-8", body(text(" a")), "content type"),
        ("application/octet-stream", body(text(" a")), "content type"),
        ("application/json", b"", "invalid JSON"),
        ("application/json", b"<html>", "invalid JSON"),
        ("application/json", body(text(" a"))[:-1], "invalid JSON"),
        ("application/json", body(text(" a")) + b"x", "invalid JSON"),
        ("application/json", b'{"choices": [{"text": "\xff", "finish_reason": "stop"}]}', "invalid JSON"),
        ("application/json", b"[" * 100_000, "invalid JSON"),
        ("application/json", b"[]", "malformed answer"),
        ("application/json", b"null", "malformed answer"),
        ("application/json", b'{"choices": "a"}', "malformed answer"),
        ("application/json", b'{"choices": [{"text": 5}]}', "malformed answer"),
        ("application/json", b'{"choices": []}', "no choices"),
        ("application/json", b'{"choices": null}', "no choices"),
        ("application/json", b"{}", "no choices"),
        ("application/json", NATIVE, "no choices"),
    ],
)
def test_unusable_answers_are_retried(kind: str, content: bytes, failure: str) -> None:
    with pytest.raises(Unusable) as caught:
        read_reply(kind, content)
    assert caught.value.kind == failure
    # A server of another protocol gives the same again.
    assert caught.value.lasting == (failure == "malformed answer" or content in (b"{}", NATIVE))


@pytest.mark.parametrize(
    "kind", [None, "application/json; charset=utf-8", "Application/JSON", "application/problem+json"]
)
def test_content_types_of_json(kind: str | None) -> None:
    assert read_reply(kind, body(text(" a"))).choices


@pytest.mark.parametrize(
    ("choice", "api"),
    [
        (text("", None), "completions"),
        (text(" \n", ""), "completions"),
        (message(None, None), "chat"),
        (text(" a", "abort"), "completions"),
        (text(None), "completions"),
        (text(" a"), "chat"),
        (message(" a"), "completions"),
    ],
)
def test_unusable_choices_are_retried(choice: dict[str, Any], api: str) -> None:
    with pytest.raises(Unusable):
        read(body(choice), api=api)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (message(" a", "content_filter"), "content filter"),
        (message(None, refusal="I must not"), "refused to answer: I must not"),
        (message(None, refusal=f"no, {KEY}"), r"\[key\]"),
        (message(None, "tool_calls"), "tool"),
        (message(f"your key is {KEY}"), "put the key"),
    ],
)
def test_refused_choices_fail(choice: dict[str, Any], words: str) -> None:
    with pytest.raises(CallFailed, match=words) as caught:
        read(body(choice), api="chat")
    assert KEY not in str(caught.value)


def test_extra_choices_are_dropped() -> None:
    assert [one.text for one in read(body(text(" a"), text(" b"), text(" c")), wanted=2)] == [" a", " b"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "slow down", "code": 429}, 429),
        ({"message": "slow down", "code": "503"}, 503),
        ({"message": "slow down", "code": "rate_limited"}, None),
        ({"message": "slow down", "code": "9" * 5000}, None),
        ({"message": "slow down", "code": "\u0664\u0662\u0669"}, None),
        ({"message": "slow down", "code": True}, None),
        ("slow down", None),
    ],
)
def test_errors_with_status_200(error: Any, status: int | None) -> None:
    with pytest.raises(ErrorInside, match="slow down") as caught:
        read_reply("application/json", json.dumps({"error": error}).encode())
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("usage", "used"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, (5, 2)),
        ({"prompt_tokens": 5}, (5, 0)),
        ({"prompt_tokens": 5, "completion_tokens": None}, (5, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}, (5, 2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 507}, (5, 502)),  # 500 were thought
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 0}, (5, 2)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"prompt_tokens": -5, "completion_tokens": 2}, None),
        ({"prompt_tokens": 5, "completion_tokens": -2}, None),
        ({"prompt_tokens": "5", "completion_tokens": 2}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": 5.5}, None),
        ({"prompt_tokens": 10**20, "completion_tokens": 2}, None),
        ({"prompt_tokens": 5, "completion_tokens": int("9" * 4000)}, None),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 10**30}, (5, 2)),
        (None, None),
        ([5], None),
    ],
)
def test_token_counts_of_a_server(usage: Any, used: tuple[int, int] | None) -> None:
    assert read_reply(None, body(text(" a"), usage=usage)).used == used


@pytest.mark.parametrize(
    "shape",
    [
        {"error": {"message": "no such model"}}, {"error": "no such model"}, {"message": "no such model"},
        {"detail": "no such model"}, [{"error": {"message": "no such model"}}], "no such model",
        {"object": "error", "message": "no such model", "code": 404}, {"error": {"odd": "no such model"}},
    ],
)  # fmt: skip
def test_error_messages_of_a_server(shape: Any) -> None:
    assert "no such model" in message_of(shape)


@pytest.mark.parametrize("count", [b"9" * 4300, b"1e400", b"-" + b"9" * 4300])
def test_numbers_of_thousands_of_digits_break_nothing(count: bytes) -> None:
    for name in (b"prompt_tokens", b"completion_tokens", b"total_tokens"):
        usage = b'{"prompt_tokens": 5, "%s": %s}' % (name, count)
        reply = read_reply(None, b'{"choices": [{"text": " a", "finish_reason": "stop"}], "usage": %s}' % usage)
        assert reply.used == ((5, 0) if name == b"total_tokens" else None)
    with pytest.raises(ErrorInside) as caught:
        read_reply(None, b'{"error": {"code": %s, "odd": [%s]}}' % (count, count))
    assert caught.value.status is None


def test_numbers_beyond_what_json_readers_take_are_no_counts() -> None:
    reply = read_reply(None, b'{"choices": [{"text": " a"}], "usage": {"prompt_tokens": %s}}' % (b"9" * 5000))
    assert reply.used is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        pytest.param(rb"\ud83d lion", "\ufffd lion", id="half a character"),
        pytest.param(rb"\ud83d\ude00", "\U0001f600", id="both halves"),
        pytest.param("é".encode(), "é", id="as it is"),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
def test_characters_of_a_reply(text: bytes, read: str, mark: bytes) -> None:
    reply = read_reply(None, mark + b'{"choices": [{"text": "%s", "finish_reason": "stop"}]}' % text)
    assert reply.choices is not None and reply.choices[0].text == read
