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


@pytest.mark.parametrize(
    ("status", "words", "setup"),
    [
        (400, "The model `gpt-5` does not exist or you do not have access to it.", True),
        (404, "model 'm' not found", True),
        (503, "The model is not loaded yet", False),
        (429, "model m is not available, try later", False),
        (500, "AuthenticationError: Incorrect API key provided", True),
        (400, "Server is pinned to 'a'", True),
        (400, "This model does not support images", False),
        (400, "Unsupported value: 'temperature' does not support 0 with this model.", False),
        (400, "invalid tokens in the prompt", False),
        (400, "model " * 100_000, False),
    ],
)
def test_words_of_a_wrong_model_key_or_address(status: int, words: str, setup: bool) -> None:
    assert Refusal(status, words, "", {}).setup is setup
    assert Refusal(status, "x", "model_not_found", {}).setup


@pytest.mark.parametrize(
    ("status", "words", "body", "field"),
    [
        (400, "'temperature' does not support 0.0", {"temperature": 0.0}, "temperature"),
        (422, "Temperature must be > 0", {"temperature": 0.0}, "temperature"),
        (400, "'temperature' does not support 0.7", {"temperature": 0.7}, None),
        (400, "'temperature' is odd", {}, None),
        (500, "'temperature' does not support 0.0", {"temperature": 0.0}, None),
        (400, "Unsupported parameter: 'stop' is not supported with this model.", {"stop": ["a"]}, "stop"),
        (400, "Unrecognized request argument supplied: stop", {"stop": ["a"]}, "stop"),
        (400, "stop it, this is not supported", {}, None),
        (400, "too many stop sequences", {"stop": ["a"]}, None),
    ],
)
def test_fields_that_may_be_left_out(status: int, words: str, body: dict[str, object], field: str | None) -> None:
    assert Refusal(status, words, "", {}).dispensable(body) == field
