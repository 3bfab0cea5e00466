"""The key under which a reply is stored.

The key is the sha256 of one text, and the text is everything that can change the reply: the layout's version, every
field of the model's identity, the kind of request, every field of the request to the byte, and which of the `n` samples
it is. Leaving one out would serve one model's reply for another's. The text is stored beside the key, so a key can be
checked, and two of them compared, without the program that made them.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from llm_backends.protocol import CompletionRequest, Identity, Request

KEY_VERSION = 2
"""Raised when a key's make-up changes, so that no old reply is found under a new key."""

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode
_string = json.encoder.encode_basestring_ascii


def key_text(identity: Identity, request: Request, sample: int = 0) -> bytes:
    """What the key is the hash of: canonical JSON of `identity`, `kind`, `request`, `sample` and `version`.

    Args:
        sample: which reply to a completion request, 0 to n - 1; 0 for log-likelihoods.
    """
    # Written out rather than encoded whole: a replay makes one for every question, and all but the prompt is the same.
    return (
        f'{{"identity":{_identity_json(identity)},"kind":"{kind_of(request)}","request":{_request_json(request)},'
        f'"sample":{sample},"version":{KEY_VERSION}}}'
    ).encode("ascii")


def key_texts(identity: Identity, request: Request) -> list[bytes]:
    """One text for each part of the reply: n samples, or the one set of log-likelihoods."""
    if not isinstance(request, CompletionRequest) or request.n == 1:
        return [key_text(identity, request)]
    return [key_text(identity, request, sample) for sample in range(request.n)]


def key_of(text: bytes) -> str:
    """64 hexadecimal digits, from a key's text."""
    return hashlib.sha256(text).hexdigest()


def request_key(identity: Identity, request: Request, sample: int = 0) -> str:
    """64 hexadecimal digits."""
    return key_of(key_text(identity, request, sample))


def identity_key(identity: Identity) -> str:
    """64 hexadecimal digits that stand for one model."""
    return _identity_hash(identity)


def prompt_key(request: Request) -> str:
    """64 hexadecimal digits that stand for what comes before the reply, be it text or ids."""
    prompt = request.prompt if isinstance(request, CompletionRequest) else request.context
    return key_of(canonical_json(prompt).encode("ascii"))


def prompt_of(request: Request) -> str:
    """The text before the reply; token ids as a JSON list."""
    prompt = request.prompt if isinstance(request, CompletionRequest) else request.context
    return prompt if isinstance(prompt, str) else canonical_json(prompt)


def first_line(text: str, width: int = 80) -> str:
    """What a prompt is called in messages: its first line that is not blank, cut to `width` characters."""
    lines = text.strip().splitlines()
    return lines[0][:width] if lines else ""


def kind_of(request: Request) -> str:
    """ "completion" or "likelihood"."""
    return "completion" if isinstance(request, CompletionRequest) else "likelihood"


def canonical_json(value: object) -> str:
    """One spelling per value: sorted names, no spaces, ASCII, floats as their shortest exact text.

    Raises:
        ValueError: a number is not finite.
    """
    return _encode(value)


@lru_cache(maxsize=64)
def _identity_hash(identity: Identity) -> str:
    return key_of(_identity_json(identity).encode("ascii"))


@lru_cache(maxsize=64)
def _identity_json(identity: Identity) -> str:
    return _encode(identity.model_dump(mode="json"))


def _request_json(request: Request) -> str:
    if not isinstance(request, CompletionRequest):
        continuations = ",".join(map(_string, request.continuations))
        return f'{{"context":{_string(request.context)},"continuations":[{continuations}]}}'
    before, after = _around_prompt(
        request.max_new_tokens, request.n, request.seed, request.stop, repr(request.temperature)
    )
    prompt = _string(request.prompt) if isinstance(request.prompt, str) else _encode(request.prompt)
    return f"{before}{prompt}{after}"


@lru_cache(maxsize=256)
def _around_prompt(max_new_tokens: int, n: int, seed: int, stop: tuple[str, ...], temperature: str) -> tuple[str, str]:
    """A completion request's JSON before and after its prompt. The temperature is spelled, since 0.0 equals -0.0."""
    fields = {"max_new_tokens": max_new_tokens, "n": n, "seed": seed, "stop": stop, "temperature": float(temperature)}
    before, _, after = _encode(fields | {"prompt": None}).partition('"prompt":null')  # in a string, quotes are escaped
    return f'{before}"prompt":', after
