"""Replies as entries and back, and incomplete replies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_backends.cache.entry import (
    Entry,
    defect_of,
    entries_of,
    parse_entry,
    parse_part,
    parse_request,
    part_json,
    reply_of,
)
from llm_backends.cache.request_key import request_key
from llm_backends.protocol import (
    Choice,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
    Reply,
    Request,
)

IDENTITY = Identity(kind="k", model="m", revision="r", dtype="float32")
ASK = CompletionRequest(prompt="a b", max_new_tokens=7, stop=("\n",), temperature=0.5, seed=3, n=2)
IDS = CompletionRequest(prompt=(5, 0), max_new_tokens=7)
SCORE = LikelihoodRequest(context="a b", continuations=(" c", " d"))
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1))
def test_likelihoods_round_trip_exactly(values: list[float]) -> None:
    part = Likelihoods(values=tuple(values))
    assert parse_part(part_json(part).encode()) == part


@given(st.text(), st.sampled_from(["stop", "length"]))
def test_text_round_trips_exactly(text: str, finish: str) -> None:
    part = Choice.model_validate({"text": text, "finish": finish})
    assert parse_part(part_json(part).encode()) == part


@pytest.mark.parametrize("request_", [ASK, IDS, SCORE])
def test_requests_round_trip(request_: Request) -> None:
    assert parse_request(json.loads(request_.model_dump_json())) == request_


def test_a_reply_is_an_entry_for_each_sample() -> None:
    reply = Completion(choices=(Choice(text="x", finish="stop"), Choice(text="y z", finish="length")))
    entries = entries_of(IDENTITY, ASK, reply)
    assert [entry.key for entry in entries] == [request_key(IDENTITY, ASK, i) for i in (0, 1)]
    assert [parse_entry(entry.text, entry.part) for entry in entries] == entries
    assert reply_of([entry.part for entry in entries]) == reply
    two = Likelihoods(values=(-1.0, -2.0))
    (entry,) = entries_of(IDENTITY, SCORE, two)
    assert reply_of([entry.part]) == two


def test_key_text_that_is_not_canonical_is_refused() -> None:
    (entry,) = entries_of(IDENTITY, SCORE, Likelihoods(values=(-1.0, -2.0)))
    for old, new in ((b"{", b"{ "), (b'"sample":0', b'"sample":1'), (b'"kind":"l', b'"kind":"L'), (b"}", b"")):
        with pytest.raises(ValueError):
            parse_entry(entry.text.replace(old, new, 1), entry.part)


@pytest.mark.parametrize(
    ("request_", "sample", "part"),
    [
        (ASK, 2, Choice(text="", finish="stop")),
        (SCORE, 1, Likelihoods(values=(-1.0, -2.0))),
        (ASK, 0, Likelihoods(values=(-1.0, -2.0))),
        (SCORE, 0, Likelihoods(values=(-1.0,))),
    ],
)
def test_mismatched_parts_are_refused(request_: Request, sample: int, part: Choice | Likelihoods) -> None:
    with pytest.raises(ValueError):
        Entry.of(IDENTITY, request_, sample, part)


def said(text: str, finish: str = "stop", times: int = 2) -> Completion:
    return Completion(choices=(Choice.model_validate({"text": text, "finish": finish}),) * times)


@pytest.mark.parametrize(
    ("request_", "reply", "words"),
    [
        (ASK, said("x"), None),
        (ASK, said(""), None),
        (ASK, said("x", "length"), None),
        (ASK, said("", "length"), "no text"),
        (ASK, said("x", times=1), "1 samples where 2"),
        (SCORE, said("x"), "text where log-likelihoods"),
        (ASK, Likelihoods(values=(-1.0, -2.0)), "log-likelihoods where text"),
        (SCORE, Likelihoods(values=(-1.0, -2.0)), None),
        (SCORE, Likelihoods(values=(-1.0,)), "1 log-likelihoods where 2"),
        (SCORE, Likelihoods(values=(-1.0, float("nan"))), "not finite"),
    ],
)
def test_incomplete_replies_are_named(request_: Request, reply: Reply, words: str | None) -> None:
    fault = defect_of(request_, reply)
    assert fault is None if words is None else fault is not None and words in fault


def test_white_space_is_an_empty_reply() -> None:
    for text, empty in (("", True), (" \n\u00a0", True), (".", False)):
        assert entries_of(IDENTITY, ASK, said(text))[0].is_empty is empty
