"""The backend against a server that misbehaves: requests, replies, retries."""

from __future__ import annotations

import collections
import gc
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llm_backends.openai.rate_limit
from llm_backends.context import ContextLimit
from llm_backends.errors import (
    BackendError,
    BackendInputError,
    BackendUnavailable,
    BudgetSpent,
    CallFailed,
    PromptTooLong,
)
from llm_backends.openai.backend import OpenAIBackend
from llm_backends.openai.options import Budget, Price, ServerOptions
from llm_backends.protocol import Backend, Completion, CompletionRequest, LikelihoodRequest, Request, Streams
from llm_backends.registry import open_backend
from tests.llm_backends.openai_server import FAULTS, Behaviour, FaultServer, Seen, answer_to, nats_of, tokens_of

KEY = "sk-secret/0123456789+abcdef"
Open = Callable[..., OpenAIBackend]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    running = FaultServer()
    yield running
    running.close()


@pytest.fixture
def opened(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens backends of the server with hardly any wait between attempts."""
    monkeypatch.setattr(llm_backends.openai.rate_limit, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    backends = []

    def open_one(model: str = "m", **options: object) -> OpenAIBackend:
        values = {"base_url": server.url, "timeout": 20.0} | options
        backends.append(OpenAIBackend(model, ServerOptions(**values)))  # type: ignore[arg-type]
        return backends[-1]

    yield open_one
    for backend in backends:
        backend.close()


def ask(prompt: str = "Q", **more: object) -> CompletionRequest:
    return CompletionRequest(**({"prompt": prompt, "max_new_tokens": 7} | more))  # type: ignore[arg-type]


def refusing(status: int, body: object, **headers: str) -> Callable[[Seen], tuple[int, bytes, dict[str, str]]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda seen: (status, content, headers)


def test_completions_and_chat(server: FaultServer, opened: Open) -> None:
    for api in ("completions", "chat"):
        backend = opened(api=api)
        assert isinstance(backend, Backend) and isinstance(backend, Streams)
        replies = backend.complete([ask(f"Q{i}") for i in range(20)])
        assert [reply.text for reply in replies] == [answer_to(f"Q{i}") for i in range(20)]
    assert {seen.path for seen in server.seen} == {"/v1/completions", "/v1/chat/completions"}
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {KEY}"}
    chat = next(seen for seen in server.seen if "chat" in seen.path)
    assert chat.body["messages"] == [{"role": "user", "content": chat.prompt}]


def test_identity_distinguishes_servers_and_endpoints(opened: Open, server: FaultServer) -> None:
    place = server.url.removeprefix("http://")
    assert opened().identity.model_dump() == {
        "kind": "openai", "model": "m", "revision": f"{place} completions", "dtype": "remote",
    }  # fmt: skip
    others = [opened(api="chat"), opened("n"), opened(base_url="http://127.0.0.1:1/v1")]
    others.append(opened(base_url=f"{server.url}/x"))
    assert len({backend.identity for backend in [opened(), *others]}) == 5
    for same in ({"base_url": f"{server.url}/"}, {"base_url": f"{server.url}?api-version=1"}, {"timeout": 1.0}):
        assert opened(**same).identity == opened().identity


def test_no_key_is_read_before_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    threads = threading.active_count()
    backend = open_backend("openai:gpt-4o-mini")
    assert backend.identity.revision == "api.openai.com/v1 chat"
    assert backend.count_tokens("four") == 1 and threading.active_count() == threads
    with pytest.raises(BackendUnavailable, match="needs a key"):
        backend.complete([ask()])


def test_no_key_no_header(server: FaultServer, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    opened().complete([ask()])
    assert "authorization" not in server.seen[0].headers


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_retried(server: FaultServer, opened: Open, fault: str) -> None:
    server.behaviour.plan = [fault, fault]
    backend = opened(timeout=0.5 if fault == "hang" else 20.0)
    assert backend.complete([ask()])[0].text == answer_to("Q")
    assert [seen.fault for seen in server.seen] == [fault, fault, ""]
    usage = backend.usage
    assert (usage.answers, usage.calls, sum(usage.failures.values())) == (1, 3, 2)
    # What a server may have worked for is paid for; what it turned away is not.
    assert usage.estimated_calls == (0 if fault[:3] in ("429", "500", "503") else 2)


@pytest.mark.parametrize("fault", FAULTS)
def test_after_all_attempts_it_fails_with_the_reason(server: FaultServer, opened: Open, fault: str) -> None:
    server.behaviour.plan = [fault] * 3
    backend = opened(max_attempts=3, timeout=0.3 if fault == "hang" else 20.0)
    ((index, error),) = backend.stream([ask()])
    assert index == 0 and isinstance(error, CallFailed) and "in 3 attempts" in str(error)
    reason = {
        "hang": "within 0.3 s", "cut head": "cut", "cut body": "cut", "invalid json": "not valid JSON",
        "empty choices": "no choices", "content type": "text/html",
    }.get(fault, f"answers {fault[:3]} (not now)")  # fmt: skip
    assert reason in str(error)
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [400, 402, 409, 413, 422, 418])
def test_refusals_are_not_retried_and_do_not_affect_others(server: FaultServer, opened: Open, status: int) -> None:
    refuse = refusing(status, {"error": {"message": "bad field"}})
    server.behaviour.refuse = lambda seen: refuse(seen) if seen.prompt == "Q1" else None
    got = dict(opened().stream([ask(f"Q{i}") for i in range(4)]))
    assert isinstance(got[1], CallFailed) and f"{status} (bad field)" in str(got[1])
    assert all(isinstance(got[i], Completion) for i in (0, 2, 3))
    assert len(server.seen) == 4


def test_a_prompt_that_the_server_finds_too_long(server: FaultServer, opened: Open) -> None:
    message = "This model's maximum context length is 10 tokens, however you requested 17 tokens"
    server.behaviour.refuse = refusing(400, {"error": {"message": message, "code": "context_length_exceeded"}})
    ((_, error),) = opened().stream([ask()])
    assert isinstance(error, PromptTooLong) and "requested 17 tokens" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"error": {"message": "wrong key"}}, "key_env"),
        (403, {"error": {"message": "not yours"}}, "base_url"),
        (404, {"error": {"message": "no such model"}}, "api="),
        (405, b"", "api="),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, "quota"),
        (302, b"", "redirect"),
        (308, b"", "redirect"),
    ],
)
def test_what_is_wrong_for_every_request_ends_the_run(
    server: FaultServer, opened: Open, status: int, body: object, words: str
) -> None:
    server.behaviour.refuse = refusing(status, body, Location=f"{server.url}/elsewhere")
    with pytest.raises(BackendUnavailable, match=words):
        list(opened(concurrency=2).stream([ask(f"Q{i}") for i in range(50)]))
    assert len(server.seen) <= 2


def test_a_forbidden_prompt_does_not_affect_others(server: FaultServer, opened: Open) -> None:
    refuse = refusing(403, {"error": {"message": "flagged"}})
    backend = opened(concurrency=1)
    backend.complete([ask("before")])
    server.behaviour.refuse = lambda seen: refuse(seen) if seen.prompt == "Q1" else None
    got = dict(backend.stream([ask(f"Q{i}") for i in range(3)]))
    assert isinstance(got[1], CallFailed) and isinstance(got[2], Completion)


def test_a_missing_server_is_reported_soon(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = FaultServer()
    gone.close()
    with pytest.raises(BackendUnavailable, match=r"in 3 attempts: no connection .* is the server running"):
        opened(base_url=gone.url).complete([ask(f"Q{i}") for i in range(50)])


def test_errors_inside_a_success(server: FaultServer, opened: Open) -> None:
    bodies = iter([{"error": {"code": 429, "message": "slow"}}, {"error": {"message": "upstream"}}])
    server.behaviour.refuse = lambda seen: (200, json.dumps(one).encode(), {}) if (one := next(bodies, None)) else None
    backend = opened()
    assert backend.complete([ask()])[0].text == answer_to("Q")
    assert backend.usage.failures == {"429": 1, "502": 1}
    server.behaviour.refuse = refusing(200, {"error": {"code": 400, "message": "bad"}})
    ((_, error),) = backend.stream([ask()])
    assert isinstance(error, CallFailed) and "400 (bad)" in str(error)


def test_several_choices_from_servers_that_ignore_n(server: FaultServer, opened: Open) -> None:
    sampled = ask(n=3, temperature=1.0, seed=5)
    expected = [answer_to("Q", seed) for seed in (5, 6, 7)]
    for ignores in (False, True):
        server.behaviour.ignores_n = ignores
        (reply,) = opened().complete([sampled])
        assert [choice.text for choice in reply.choices] == expected
    assert [seen.body.get("n") for seen in server.seen] == [3, 3, 2, None]
    with pytest.raises(BackendInputError, match="temperature"):
        opened().complete([ask(n=2)])


def test_text_that_is_not_unicode_fails(server: FaultServer, opened: Open) -> None:
    got = dict(opened().stream([ask("half a pair: \ud83d"), ask()]))
    assert isinstance(got[0], CallFailed) and "character 13" in str(got[0]) and isinstance(got[1], Completion)


def test_token_ids(server: FaultServer, opened: Open) -> None:
    opened().complete([ask(prompt=(1, 2, 3))])
    assert server.seen[0].body["prompt"] == [1, 2, 3]
    with pytest.raises(BackendInputError, match="token ids"):
        opened(api="chat").complete([ask(prompt=(1, 2, 3))])


def test_log_likelihoods_where_the_server_echoes(server: FaultServer, opened: Open) -> None:
    backend = opened(echo_logprobs=True)
    assert backend.capabilities.likelihood
    context = "Input: a b\nOutput:"
    requests: list[Request] = [LikelihoodRequest(context=context, continuations=(" lion\n", " school bus\n")), ask()]
    got = dict(backend.stream(requests))
    sums = [math.fsum(nats_of(token) for token in tokens_of(text)) for text in (" lion\n", " school bus\n")]
    assert got[0].values == pytest.approx(sums)  # type: ignore[union-attr]
    assert got[1].text == answer_to("Q")  # type: ignore[union-attr]


def test_log_likelihoods_are_never_guessed(server: FaultServer, opened: Open) -> None:
    request = LikelihoodRequest(context="Q", continuations=(" a",))
    with pytest.raises(BackendInputError, match="--scoring exact"):
        opened().loglikelihood([request])
    with pytest.raises(BackendInputError, match="completions"):
        opened(echo_logprobs=True, api="chat")
    assert not server.seen
    server.behaviour.refuse = refusing(200, {"choices": [{"text": " a", "finish_reason": "stop"}]})
    with pytest.raises(BackendInputError, match="--scoring exact"):
        opened(echo_logprobs=True).loglikelihood([request])


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_the_other_name_of_the_limit_field_is_learnt(server: FaultServer, opened: Open, api: str) -> None:
    newer = {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}
    server.behaviour.refuse = lambda seen: refusing(400, newer)(seen) if "max_tokens" in seen.body else None
    backend = opened(api=api, concurrency=1)
    assert len(backend.complete([ask("Q")]) + backend.complete([ask("R")])) == 2
    assert ["max_tokens" in seen.body for seen in server.seen] == [True, False, False]
    server.behaviour.refuse = refusing(400, newer)
    ((_, error),) = backend.stream([ask()])
    assert isinstance(error, CallFailed) and "neither" in str(error)


def test_concurrency_is_limited_and_lower_after_a_refusal(server: FaultServer, opened: Open) -> None:
    server.behaviour.delay = 0.02
    backend = opened(concurrency=6)
    backend.complete([ask(f"Q{i}") for i in range(40)])
    assert 2 <= server.most_at_once <= 6
    server.most_at_once, server.behaviour.plan = 0, ["429"] * 40
    dict(opened(concurrency=6, max_attempts=20).stream([ask(f"R{i}") for i in range(60)]))
    assert server.most_at_once <= 6


def test_retry_after_is_respected(server: FaultServer, opened: Open) -> None:
    server.behaviour.plan, server.behaviour.after = ["429 after"], "0.6"
    backend = opened(concurrency=1)
    backend.complete([ask(f"Q{i}") for i in range(3)])
    times = [seen.at for seen in server.seen]
    assert times[1] - times[0] >= 0.55


def test_replies_are_yielded_as_they_come(server: FaultServer, opened: Open) -> None:
    server.behaviour.plan = ["hang"]
    server.behaviour.hang = 20.0
    stream = opened(timeout=3.0, concurrency=4).stream([ask(f"Q{i}") for i in range(8)])
    started = time.monotonic()
    early = [next(stream) for _ in range(7)]
    assert time.monotonic() - started < 2.9 and len({index for index, _ in early}) == 7
    assert len(list(stream)) == 1


def test_closing_a_stream_cancels_its_calls(server: FaultServer, opened: Open) -> None:
    server.behaviour.delay = 0.05
    backend = opened(concurrency=2)
    stream = backend.stream([ask(f"Q{i}") for i in range(100)])
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    time.sleep(0.2)
    seen = len(server.seen)
    time.sleep(0.2)
    assert len(server.seen) == seen < 20
    assert backend.complete([ask("again")])[0].text == answer_to("again")
    backend.close()
    assert backend.complete([ask("and again")])[0].text == answer_to("and again")
    del stream, backend
    gc.collect()


def test_a_budget_in_tokens_is_kept_and_so_are_replies(server: FaultServer, opened: Open) -> None:
    backend = opened(budget=Budget.parse("2000tok"), concurrency=8)
    got: dict[int, object] = {}
    with pytest.raises(BudgetSpent, match="budget allows 2,000 tokens"):
        for index, reply in backend.stream([ask(f"question {i}") for i in range(1000)]):
            got[index] = reply
    counted = sum(len(tokens_of(seen.prompt)) + len(tokens_of(answer_to(seen.prompt))) for seen in server.answered)
    assert counted == backend.usage.tokens and 2000 - 60 <= counted <= 2000
    assert len(got) == len(server.answered) == backend.usage.answers
    assert all(isinstance(reply, Completion) for reply in got.values())
    with pytest.raises(BudgetSpent):  # it stays spent
        backend.complete([ask("more " * 20)])


def test_a_budget_goes_further_where_tokens_can_be_counted(
    server: FaultServer, opened: Open, plain_tokenizer_folder: Path
) -> None:
    prompt = "Input: lion cat vase truck\nOutput: lion\n" * 40
    budget = Budget.parse("1000tok")
    assert len(prompt) > 1000
    with pytest.raises(BudgetSpent):
        opened(budget=budget).complete([ask(prompt)])
    counted = opened(budget=budget, tokenizer=plain_tokenizer_folder)
    assert counted.count_tokens(prompt) < 900 and len(counted.complete([ask(prompt)])) == 1


def test_a_budget_in_dollars(server: FaultServer, opened: Open) -> None:
    backend = opened(budget=Budget.parse("0.01usd"), price=Price.parse("50,100"), concurrency=4)
    with pytest.raises(BudgetSpent, match=r"\$0\.01"):
        list(backend.stream([ask(f"question {i}") for i in range(500)]))
    spent = backend.usage.dollars
    assert spent is not None and 0.005 < spent <= 0.01


def test_uncounted_answers_are_estimated(server: FaultServer, opened: Open) -> None:
    server.behaviour.usage = False
    backend = opened()
    backend.complete([ask("question")])
    usage = backend.usage
    assert usage.estimated_calls == 1 and usage.estimated_tokens == usage.tokens
    assert usage.tokens >= len("question") + 7 and "estimated" in str(usage)


def test_prompts_that_are_too_long_are_known_before_asking(opened: Open, plain_tokenizer_folder: Path) -> None:
    long, short = ask("lion " * 100), ask("lion")
    estimate = ContextLimit(opened(), 50)
    assert "about 132 tokens, m takes 50" in str(estimate.too_long(long)) and estimate.too_long(short) is None
    exact = opened(tokenizer=plain_tokenizer_folder)
    assert exact.capabilities.tokenizer and exact.capabilities.context_length is None
    tokens = exact.count_tokens(str(long.prompt)) + 7
    assert f"are {tokens} tokens" in str(ContextLimit(exact, 50).too_long(long))


def echo(seen: Seen) -> bytes:
    return f"Wrong: {seen.headers['authorization']} and {json.dumps(dict(seen.headers))}".encode()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 302, 200])
def test_an_echoed_key_is_redacted_everywhere(
    server: FaultServer, opened: Open, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.behaviour.refuse = lambda seen: (
        status, echo(seen), {"X-Echo": seen.headers["authorization"], "Content-Type": seen.headers["authorization"]}
    )  # fmt: skip
    try:
        found: list[BackendError] = [
            one for _, one in opened(max_attempts=2).stream([ask()]) if isinstance(one, BackendError)
        ]
    except BackendUnavailable as error:
        found = [error]
    (told,) = found
    chain: BaseException | None = told
    while chain is not None:
        assert KEY.lower() not in f"{chain} {chain!r} {vars(chain)}".lower()
        chain = chain.__cause__ or chain.__context__
    assert KEY.lower() not in caplog.text.lower()
    if status != 302:
        assert "[key]" in str(told)


def test_a_reply_that_contains_the_key_fails(server: FaultServer, opened: Open) -> None:
    server.behaviour.reply = lambda prompt, seed: f" lion {KEY}"
    ((_, error),) = opened().stream([ask()])
    assert isinstance(error, CallFailed) and KEY not in str(error)


def test_nothing_shows_the_key(opened: Open) -> None:
    backend = opened()
    backend.complete([ask()])
    shown = [repr(backend), repr(vars(backend)), repr(backend.identity), repr(backend.usage), str(backend.capabilities)]
    assert not any(KEY in one for one in shown)


def test_a_storm(server: FaultServer, opened: Open) -> None:
    """Every kind of fault at random: each request ends once, right or with its reason."""
    server.behaviour = Behaviour(rate=0.3, hang=1.0)
    backend = opened(concurrency=16, timeout=0.5, max_attempts=20)
    ends = list(backend.stream([ask(f"Q{i}") for i in range(150)]))
    assert collections.Counter(index for index, _ in ends) == dict.fromkeys(range(150), 1)
    for index, reply in ends:
        assert isinstance(reply, Completion) and reply.text == answer_to(f"Q{index}")
    usage = backend.usage
    assert usage.calls == usage.answers + sum(usage.failures.values()) and usage.answers == 150
