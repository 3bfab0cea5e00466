"""Error answers of servers."""

from __future__ import annotations

import pytest

from llm_backends.openai.errors import Refusal


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens", ""),
        (400, "x", "context_length_exceeded"),
        (400, "the request exceeds the available context size. try increasing the context size", ""),
        (400, "request (9000 tokens) exceeds the available context size (4096 tokens)", "exceed_context_size_error"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", ""),
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", ""),
        (413, "Input is too long for requested model", ""),
    ],
)
def test_prompts_over_the_context(status: int, words: str, code: str) -> None:
    assert Refusal(status, words, code, {}).too_long


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "Unsupported value: 'temperature' does not support 0 with this model."),
        (400, "max_tokens is too large: 99999. This model supports at most 4096 completion tokens"),
        (404, "prompt is too long"),
        (500, "maximum context length"),
        (400, "Invalid context"),
    ],
)
def test_other_refusals(status: int, words: str) -> None:
    refusal = Refusal(status, words, "", {})
    assert not refusal.too_long and refusal.other_limit is None


def test_the_other_name_of_the_limit_field() -> None:
    openai = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    assert Refusal(400, openai, "unsupported_parameter", {}).other_limit == "max_completion_tokens"
    older = "Unrecognized request argument supplied: max_completion_tokens"
    assert Refusal(400, older, "", {}).other_limit == "max_tokens"


def test_a_used_up_quota() -> None:
    assert Refusal(429, "You exceeded your current quota", "insufficient_quota", {}).quota
    assert not Refusal(429, "Rate limit reached", "rate_limit_exceeded", {}).quota
