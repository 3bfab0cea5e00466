"""The key changes with everything that can change a reply."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_backends.errors import CallFailed
from llm_backends.protocol import (
    Choice,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
    Request,
)
from llm_backends.request_key import answers, parse_reply, parse_request, reply_json, request_key

IDENTITY = Identity(kind="k", model="m", revision="r", dtype="float32")
ASK = CompletionRequest(prompt="a b", max_new_tokens=7, stop=("\n",), temperature=0.5, seed=3)
SCORE = LikelihoodRequest(context="a b", continuations=(" c", " d"))


def test_the_key_is_the_hash_of_its_parts_written_out() -> None:
    text = (
        '{"identity":{"dtype":"float32","kind":"k","model":"m","revision":"r"},"kind":"completion",'
        '"request":{"max_new_tokens":7,"n":1,"prompt":"a b","seed":3,"stop":["\\n"],"temperature":0.5},"version":1}'
    )
    assert request_key(IDENTITY, ASK) == hashlib.sha256(text.encode()).hexdigest()


def test_every_field_and_byte_changes_the_key() -> None:
    others: list[tuple[Identity, Request]] = [(IDENTITY, ASK), (IDENTITY, SCORE)]
    others += [(IDENTITY.model_copy(update={name: "other"}), ASK) for name in Identity.model_fields]
    changed: dict[str, list[object]] = {
        "prompt": ["a b ", "a  b", "A b", "a b\n", "a\u00a0b", ""],
        "max_new_tokens": [8],
        "stop": [(), ("\n", "\n"), ("\r\n",)],
        "temperature": [0.5000000001, 0.0],
        "n": [2],
        "seed": [4],
    }
    assert set(changed) == set(CompletionRequest.model_fields), "a new field needs its line here"
    others += [(IDENTITY, ASK.model_copy(update={k: v})) for k, values in changed.items() for v in values]
    scored = {"context": ["a", "a b "], "continuations": [(" c",), (" d", " c"), (" c d",), (" c", " d", "")]}
    assert set(scored) == set(LikelihoodRequest.model_fields), "a new field needs its line here"
    others += [(IDENTITY, SCORE.model_copy(update={k: v})) for k, values in scored.items() for v in values]
    keys = [request_key(identity, request) for identity, request in others]
    assert len(set(keys)) == len(keys)


@given(st.text(), st.text())
def test_two_prompts_never_share_a_key(a: str, b: str) -> None:
    keys = [request_key(IDENTITY, ASK.model_copy(update={"prompt": text})) for text in (a, b)]
    assert (keys[0] == keys[1]) == (a == b)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_likelihoods_come_back_exactly(values: list[float]) -> None:
    reply = Likelihoods(values=tuple(values))
    assert parse_reply(json.loads(reply_json(reply))) == reply


def test_requests_come_back() -> None:
    for request in (ASK, SCORE):
        assert parse_request(json.loads(request.model_dump_json())) == request


def test_numbers_that_are_not_finite_are_not_stored() -> None:
    with pytest.raises(CallFailed, match="finite"):
        reply_json(Likelihoods(values=(float("nan"),)))


def test_a_reply_answers_its_own_kind_of_request() -> None:
    text, two = Completion(choices=(Choice(text="x", finish="stop"),)), Likelihoods(values=(-1.0, -2.0))
    assert answers(ASK, text) and answers(SCORE, two)
    assert not answers(ASK, two) and not answers(SCORE, text) and not answers(SCORE, Likelihoods(values=(-1.0,)))
