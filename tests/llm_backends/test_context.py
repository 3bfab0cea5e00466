"""Prompts over a model's context length."""

from __future__ import annotations

import pytest

from llm_backends.context import ContextLimit
from llm_backends.errors import BackendUnavailable
from llm_backends.protocol import Capabilities, CompletionRequest, LikelihoodRequest
from llm_backends.scripted.backend import Script, ScriptedBackend


class Counting(ScriptedBackend):
    """Counts words as tokens and records what it counted; its tokenizer may not be ready."""

    def __init__(self, length: int | None, exact: bool = True, ready: bool = True) -> None:
        super().__init__(Script(default="x", context_length=length))
        self.counted: list[str] = []
        self.exact, self.ready = exact, ready

    @property
    def capabilities(self) -> Capabilities:
        return super().capabilities.model_copy(update={"tokenizer": self.exact})

    def count_tokens(self, text: str) -> int:
        self.counted.append(text)
        if not self.ready:
            raise BackendUnavailable("the tokenizer is not there")
        return super().count_tokens(text)


def ask(words: int, new: int = 5) -> CompletionRequest:
    return CompletionRequest(prompt=" ".join(["word"] * words), max_new_tokens=new)


@pytest.mark.parametrize(
    ("stated", "option", "limit"), [(100, None, 100), (None, 60, 60), (100, 60, 60), (60, 100, 60), (None, None, None)]
)
def test_the_lower_of_model_and_user_limit_holds(stated: int | None, option: int | None, limit: int | None) -> None:
    check = ContextLimit(Counting(stated), option)
    assert check.limit == limit
    if limit is None:
        assert check.too_long(ask(10_000)) is None
        return
    assert check.too_long(ask(limit - 5)) is None
    error = check.too_long(ask(limit - 4))
    assert error is not None and f"are {limit + 1} tokens" in str(error) and f"takes {limit}" in str(error)


def test_the_longest_continuation_counts() -> None:
    check = ContextLimit(Counting(50))
    context = " ".join(["word"] * 48)
    assert check.too_long(LikelihoodRequest(context=context, continuations=(" a", " b c"))) is None
    error = check.too_long(LikelihoodRequest(context=context, continuations=(" a", " b c d", " e")))
    assert error is not None and "51 tokens" in str(error)


def test_token_ids_are_counted_directly() -> None:
    check = ContextLimit(Counting(50))
    assert check.too_long(CompletionRequest(prompt=tuple(range(45)), max_new_tokens=5)) is None
    assert check.too_long(CompletionRequest(prompt=tuple(range(46)), max_new_tokens=5)) is not None


def test_short_prompts_need_no_tokenizer() -> None:
    model = Counting(100)
    assert ContextLimit(model).too_long(CompletionRequest(prompt="x" * 80, max_new_tokens=5)) is None
    assert model.counted == []


def test_without_a_tokenizer_nothing_is_too_long() -> None:
    assert ContextLimit(Counting(50, ready=False)).too_long(ask(1000)) is None


def test_an_estimate_is_named_as_such() -> None:
    error = ContextLimit(Counting(50, exact=False)).too_long(ask(60))
    assert error is not None and "about 65 tokens" in str(error)
