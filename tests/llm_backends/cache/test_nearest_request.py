"""The nearest stored request, and what differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_backends.cache.nearest_request import Difference, explain_miss, find_nearest
from llm_backends.cache.request_key import request_key
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.protocol import CompletionRequest, Likelihoods
from tests.llm_backends.stored import IDENTITY, OTHER, SCORE, ask, fill, said


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    made = fill(tmp_path / "replies.sqlite")
    yield made
    made.close()


def test_nearest_in_an_empty_cache(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "none.sqlite")
    assert find_nearest(IDENTITY, SCORE, [cache]) is None
    assert "nothing is stored" in str(explain_miss(IDENTITY, SCORE, [cache]))


@pytest.mark.parametrize(
    ("changes", "field", "stored", "wanted"),
    [
        ({"temperature": 0.5}, "temperature", "0.0", "0.5"),
        ({"stop": ("\n",)}, "stop", "[]", '["\\n"]'),
        ({"max_new_tokens": 4}, "max_new_tokens", "7", "4"),
        ({"seed": 2}, "seed", "0", "2"),
    ],
)
def test_the_one_field_that_differs_is_named(
    cache: ReplyCache, changes: dict[str, object], field: str, stored: str, wanted: str
) -> None:
    nearest = find_nearest(IDENTITY, ask(4, **changes), [cache])
    assert nearest is not None and nearest.entry.request == ask(4) and nearest.source == cache.path
    assert nearest.fields == (Difference(field, stored, wanted),) and nearest.prompt_diff == ""
    assert f"differs in {field} ({stored} stored, {wanted} asked)" in str(
        explain_miss(IDENTITY, ask(4, **changes), [cache])
    )


@pytest.mark.parametrize("field", ["revision", "dtype", "model"])
def test_another_model_is_named(cache: ReplyCache, field: str) -> None:
    model = IDENTITY.model_copy(update={field: "new"})
    nearest = find_nearest(model, ask(4), [cache])
    assert nearest is not None and [(one.field, one.asked) for one in nearest.fields] == [(field, "new")]


def test_an_equal_prompt_with_the_fewest_differences_is_nearest(cache: ReplyCache) -> None:
    cache.put(IDENTITY, ask(0, temperature=1.0, seed=5), said("hot"))
    nearest = find_nearest(OTHER, ask(0, temperature=1.0, n=3), [cache])
    assert nearest is not None and nearest.entry.identity == OTHER
    assert [one.field for one in nearest.fields][:1] == ["n"]


def test_a_changed_prompt_is_a_diff(cache: ReplyCache) -> None:
    changed = ask(4).model_copy(update={"prompt": str(ask(4).prompt).replace("###", "--- ", 1)})
    nearest = find_nearest(IDENTITY, changed, [cache])
    assert nearest is not None and nearest.entry.request == ask(4) and nearest.fields == ()
    lines = nearest.prompt_diff.splitlines()
    assert lines[:2] == ["--- stored", "+++ asked"]
    assert any(line.startswith("-###  word") for line in lines) and any(line.startswith("+---") for line in lines)
    assert "differs in prompt ('###  word" in str(explain_miss(IDENTITY, changed, [cache]))


def test_invisible_characters_are_escaped(cache: ReplyCache) -> None:
    spaced = ask(4).model_copy(update={"prompt": str(ask(4).prompt).replace("number 4", "number\u00a04")})
    nearest = find_nearest(IDENTITY, spaced, [cache])
    assert nearest is not None and "\\xa0" in nearest.prompt_diff
    trailing = ask(4).model_copy(update={"prompt": str(ask(4).prompt) + " "})
    nearest = find_nearest(IDENTITY, trailing, [cache])
    assert nearest is not None and "+'Output: ' [no newline]" in nearest.prompt_diff


def test_a_key_can_be_skipped_and_ids_differ_from_text(cache: ReplyCache) -> None:
    nearest = find_nearest(IDENTITY, ask(4), [cache], without=request_key(IDENTITY, ask(4)))
    assert nearest is not None and nearest.entry.request != ask(4)
    cache.put(IDENTITY, CompletionRequest(prompt="[1,2]", max_new_tokens=7), said("x"))
    nearest = find_nearest(IDENTITY, CompletionRequest(prompt=(1, 2), max_new_tokens=7), [cache])
    assert nearest is not None and [one.field for one in nearest.fields] == ["prompt is"]


def test_all_sources_are_searched(cache: ReplyCache, tmp_path: Path) -> None:
    other = ReplyCache(tmp_path / "other.sqlite")
    other.put(IDENTITY, SCORE.model_copy(update={"continuations": (" a", " c")}), Likelihoods(values=(-1.0, -2.0)))
    asked = SCORE.model_copy(update={"continuations": (" a", " c", " d")})
    nearest = find_nearest(IDENTITY, asked, [cache, other])
    assert nearest is not None and [one.field for one in nearest.fields] == ["continuations"]
    other.close()


def test_very_long_prompts_are_compared_quickly(tmp_path: Path) -> None:
    """Character by character, two prompts of 100,000 characters would take minutes."""
    cache = ReplyCache(tmp_path / "replies.sqlite")
    long = [CompletionRequest(prompt=f"{i} " + "lion vase\n" * 10_000, max_new_tokens=1) for i in range(3)]
    cache.put_many(IDENTITY, [(request, said("x")) for request in long])
    nearest = find_nearest(IDENTITY, long[0].model_copy(update={"prompt": str(long[0].prompt) + "!"}), [cache])
    assert nearest is not None
    cache.close()
