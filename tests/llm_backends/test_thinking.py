"""Blocks of thought before a reply: left out, counted, and a failure where they have no end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import CallFailed
from llm_backends.protocol import Choice, Completion, Likelihoods
from llm_backends.scripted.backend import Script, ScriptedBackend
from llm_backends.thinking import without_thinking
from tests.llm_backends.behind_store import ask, behind


def completion(*texts: str, finish: str = "stop") -> Completion:
    return Completion(choices=tuple(Choice(text=text, finish=finish) for text in texts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param("<think>It has a mane.</think>\nlion", "\nlion", id="closed"),
        pytest.param("\n <think>\n\n</think>\n\nlion", "\n\nlion", id="empty block, as Qwen3 without thinking"),
        pytest.param("<THINK>a</Think> lion", " lion", id="any case"),
        pytest.param("<thinking>a</thinking>lion", "lion", id="thinking"),
        pytest.param("<seed:think>a</seed:think>lion", "lion", id="Seed-OSS"),
        pytest.param("[THINK]a[/THINK]lion", "lion", id="Magistral"),
        pytest.param("◁think▷a◁/think▷lion", "lion", id="Kimi"),
        pytest.param("<|begin_of_thought|>a<|end_of_thought|>lion", "lion", id="Sky-T1"),
        pytest.param("<think>a</think><think>b</think>lion", "lion", id="two blocks"),
        pytest.param("It has a mane.</think>\nlion", "\nlion", id="opened by the prompt's template"),
        pytest.param("<think>a</think>", "", id="ended by itself without an answer"),
    ],
)
def test_a_closed_block_is_left_out_and_counted(text: str, answer: str) -> None:
    assert without_thinking(completion(text)) == (completion(answer), len(text) - len(answer))


@pytest.mark.parametrize("text", [" lion", "", "a <think> in the middle </th", "<thinker>lion", "I think</b> so"])
def test_other_replies_are_as_they_were(text: str) -> None:
    reply = completion(text)
    assert without_thinking(reply) == (reply, 0)


@pytest.mark.parametrize("text", ["<think>", "\n<think>It has a mane", "<think>a</think><think>b", "[THINK]a</think>"])
def test_an_unclosed_block_fails_with_its_reason(text: str) -> None:
    with pytest.raises(CallFailed, match="must end its block of thought") as caught:
        without_thinking(completion("lion", text))
    assert caught.value.lasting


def test_a_limit_met_before_the_answer_fails() -> None:
    with pytest.raises(CallFailed, match="limit was met"):
        without_thinking(completion("<think>a</think>\n", finish="length"))


def test_log_likelihoods_pass() -> None:
    assert without_thinking(Likelihoods(values=(-1.0,))) == (Likelihoods(values=(-1.0,)), 0)


def test_long_blocks_take_linear_time() -> None:
    text = "<think>" * 300_000
    started = time.perf_counter()
    with pytest.raises(CallFailed):
        without_thinking(completion(text))
    assert without_thinking(completion("<think></think>" * 50_000))[1] == 15 * 50_000
    assert time.perf_counter() - started < 5


@pytest.fixture
def store(tmp_path: object) -> Iterator[ReplyCache]:
    opened = ReplyCache(tmp_path / "replies.sqlite")  # type: ignore[operator]
    yield opened
    opened.close()


def test_the_store_keeps_the_whole_reply(store: ReplyCache) -> None:
    texts = {"a": "<think>hm</think> lion", "b": "<think>hm"}
    cached = behind(ScriptedBackend(Script(completions=texts)), store)
    for was in (False, True):
        closed, unclosed = cached.ask([ask("a"), ask("b")])
        assert (closed.reply, closed.thought, closed.cached) == (completion(" lion"), 17, was)
        assert unclosed.reply is None and isinstance(unclosed.error, CallFailed) and unclosed.cached is was
    kept = [store.entry(key) for key in store.keys()]  # noqa: SIM118 (a method of the store)
    assert {one.part.text for one in kept if one is not None} == set(texts.values())  # type: ignore[union-attr]
