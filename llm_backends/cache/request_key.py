"""The key under which a reply is stored.

The key is the sha256 of a text that contains everything that can change the reply: the key's version, every field of
the model's identity, the kind of request, every field of the request, and which of the `n` samples it is. The text is
stored with the reply, so that a key can be checked, and two requests compared, without the program that made them.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from json.encoder import encode_basestring_ascii

from llm_backends.protocol import CompletionRequest, Identity, Request
from spae.canonical import canonical_json

KEY_VERSION = 2
"""Increased when the text of a key changes, so that no old reply is found under a new key."""


def key_text(identity: Identity, request: Request, sample: int = 0) -> bytes:
    """The text that is hashed: canonical JSON of `identity`, `kind`, `request`, `sample` and `version`.

    Args:
        sample: which reply to a completion request, 0 to n - 1; 0 for log-likelihoods.
    """
    # Assembled from cached parts: a replay makes one per request, and all but the prompt is the same.
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
    """64 hexadecimal digits that identify a model."""
    return _identity_hash(identity)


def prompt_key(request: Request) -> str:
    """64 hexadecimal digits that identify a prompt or context, text or ids."""
    prompt = request.prompt if isinstance(request, CompletionRequest) else request.context
    return key_of(canonical_json(prompt).encode("ascii"))


def prompt_of(request: Request) -> str:
    """The prompt or context; token ids as a JSON list."""
    prompt = request.prompt if isinstance(request, CompletionRequest) else request.context
    return prompt if isinstance(prompt, str) else canonical_json(prompt)


def first_line(text: str, width: int = 80) -> str:
    """A prompt's name in messages: its first line that is not blank, cut to `width` characters."""
    lines = text.strip().splitlines()
    return lines[0][:width] if lines else ""


def kind_of(request: Request) -> str:
    """ "completion" or "likelihood"."""
    return "completion" if isinstance(request, CompletionRequest) else "likelihood"


@lru_cache(maxsize=64)
def _identity_hash(identity: Identity) -> str:
    return key_of(_identity_json(identity).encode("ascii"))


@lru_cache(maxsize=64)
def _identity_json(identity: Identity) -> str:
    return canonical_json(identity.model_dump(mode="json"))


def _request_json(request: Request) -> str:
    if not isinstance(request, CompletionRequest):
        continuations = ",".join(map(encode_basestring_ascii, request.continuations))
        return f'{{"context":{encode_basestring_ascii(request.context)},"continuations":[{continuations}]}}'
    before, after = _around_prompt(
        request.max_new_tokens, request.n, request.seed, request.stop, repr(request.temperature)
    )
    prompt = (
        encode_basestring_ascii(request.prompt) if isinstance(request.prompt, str) else canonical_json(request.prompt)
    )
    return f"{before}{prompt}{after}"


@lru_cache(maxsize=256)
def _around_prompt(max_new_tokens: int, n: int, seed: int, stop: tuple[str, ...], temperature: str) -> tuple[str, str]:
    """A completion request's JSON before and after its prompt. The temperature is text, since 0.0 equals -0.0."""
    fields = {"max_new_tokens": max_new_tokens, "n": n, "seed": seed, "stop": stop, "temperature": float(temperature)}
    before, _, after = canonical_json(fields | {"prompt": None}).partition(
        '"prompt":null'
    )  # in a string, quotes are escaped
    return f'{before}"prompt":', after
