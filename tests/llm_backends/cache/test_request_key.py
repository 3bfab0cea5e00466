"""The key changes with everything that can change a reply."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_backends.cache.request_key import key_text, prompt_key, prompt_of, request_key
from llm_backends.protocol import CompletionRequest, Identity, LikelihoodRequest, Request
from spae.canonical import canonical_json

IDENTITY = Identity(kind="k", model="m", revision="r", dtype="float32")
ASK = CompletionRequest(prompt="a b", max_new_tokens=7, stop=("\n",), temperature=0.5, seed=3)
SCORE = LikelihoodRequest(context="a b", continuations=(" c", " d"))


def test_the_key_is_the_hash_of_a_hand_written_text() -> None:
    text = (
        '{"identity":{"dtype":"float32","kind":"k","model":"m","revision":"r"},"kind":"completion",'
        '"request":{"max_new_tokens":7,"n":1,"prompt":"a b","seed":3,"stop":["\\n"],"temperature":0.5},'
        '"sample":2,"version":2}'
    )
    assert key_text(IDENTITY, ASK, 2) == text.encode()
    assert request_key(IDENTITY, ASK, 2) == hashlib.sha256(text.encode()).hexdigest()


@given(st.text(), st.integers(0, 9), st.floats(0, 9), st.lists(st.text(), max_size=3), st.text(min_size=1))
def test_the_text_is_canonical_json_whatever_is_in_it(
    prompt: str, sample: int, temperature: float, stop: list[str], model: str
) -> None:
    request = CompletionRequest(prompt=prompt, max_new_tokens=1, temperature=temperature, stop=tuple(stop))
    text = key_text(IDENTITY.model_copy(update={"model": model}), request, sample)
    assert canonical_json(json.loads(text)).encode() == text
    assert json.loads(text)["request"]["prompt"] == prompt and json.loads(text)["identity"]["model"] == model


def test_every_field_and_byte_changes_the_key() -> None:
    others: list[tuple[Identity, Request]] = [(IDENTITY, ASK), (IDENTITY, SCORE)]
    others += [(IDENTITY.model_copy(update={name: "other"}), ASK) for name in Identity.model_fields]
    changed: dict[str, list[object]] = {
        "prompt": ["a b ", "a  b", "A b", "a b\n", "a\u00a0b", "", (97, 98), (), (1,), (1, 2)],
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
    keys += [request_key(IDENTITY, ASK, sample) for sample in (1, 2)]
    assert len(set(keys)) == len(keys)


@given(st.text(), st.text())
def test_two_prompts_never_share_a_key(a: str, b: str) -> None:
    keys = [request_key(IDENTITY, ASK.model_copy(update={"prompt": text})) for text in (a, b)]
    assert (keys[0] == keys[1]) == (a == b)


FIELDS = {
    "model": st.text(min_size=1), "revision": st.text(), "dtype": st.text(), "kind": st.text(),
    "temperature": st.floats(0, 10), "n": st.integers(1, 99), "stop": st.lists(st.text()).map(tuple),
    "max_new_tokens": st.integers(1, 10**6), "seed": st.integers(-(2**63), 2**63),
}  # fmt: skip


@pytest.mark.parametrize("field", list(FIELDS))
@given(data=st.data())
def test_one_field_changed_misses(field: str, data: st.DataObject) -> None:
    """Whatever the two values are: "1" and 1, 0.1 and 0.1 + 1e-17, stop strings joined and apart."""
    one, other = data.draw(FIELDS[field]), data.draw(FIELDS[field])
    keys = set()
    for value in (one, other):
        identity, request = IDENTITY, ASK
        if field in Identity.model_fields:
            identity = Identity.model_validate(IDENTITY.model_dump() | {field: value})
        else:
            request = CompletionRequest.model_validate(ASK.model_dump() | {field: value})
        keys.add(request_key(identity, request))
    assert (len(keys) == 1) == (one == other)


@given(st.binary(min_size=1), st.data())
def test_one_byte_of_the_prompt_changed_misses(prompt: bytes, data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, len(prompt) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(prompt)
    changed[at] ^= 1 << bit
    keys = {request_key(IDENTITY, ASK.model_copy(update={"prompt": b.decode("latin-1")})) for b in (prompt, changed)}
    assert len(keys) == 2


@given(st.lists(st.integers(0, 300)), st.lists(st.integers(0, 300)))
def test_token_ids_and_their_text_have_different_keys(a: list[int], b: list[int]) -> None:
    asks = [ASK.model_copy(update={"prompt": prompt}) for prompt in (tuple(a), tuple(b), canonical_json(a))]
    keys = [request_key(IDENTITY, ask) for ask in asks]
    assert (keys[0] == keys[1]) == (a == b) and keys[0] != keys[2]
    assert prompt_key(asks[0]) != prompt_key(asks[2]) and prompt_of(asks[0]) == prompt_of(asks[2])
