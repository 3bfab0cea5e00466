"""The key under which a reply is stored, and requests and replies as JSON.

The key is a sha256 over everything that can change the reply: the layout's version, every field of the model's
identity, the kind of request and every field of the request, to the byte. Leaving one out would serve one model's reply
for another's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_backends.errors import CallFailed
from llm_backends.protocol import (
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
    Reply,
    Request,
)

KEY_VERSION = 1
"""Raised when a key's make-up changes, so that no old reply is found under a new key."""


@dataclass(frozen=True)
class StoredReply:
    """A reply with all that led to it."""

    key: str
    identity: Identity
    request: Request
    reply: Reply


def request_key(identity: Identity, request: Request) -> str:
    """64 hexadecimal digits."""
    parts = {
        "version": KEY_VERSION,
        "identity": identity.model_dump(mode="json"),
        "kind": kind_of(request),
        "request": request.model_dump(mode="json"),
    }
    return hashlib.sha256(canonical_json(parts).encode("ascii")).hexdigest()


def identity_key(identity: Identity) -> str:
    """64 hexadecimal digits that stand for one model."""
    return hashlib.sha256(canonical_json(identity.model_dump(mode="json")).encode("ascii")).hexdigest()


def prompt_key(request: Request) -> str:
    """64 hexadecimal digits that stand for the text before the reply."""
    return hashlib.sha256(prompt_of(request).encode("utf-8")).hexdigest()


def prompt_of(request: Request) -> str:
    """The text before the reply."""
    prompt = request.prompt if isinstance(request, CompletionRequest) else request.context
    return prompt if isinstance(prompt, str) else canonical_json(prompt)


def kind_of(request: Request) -> str:
    """ "completion" or "likelihood"."""
    return "completion" if isinstance(request, CompletionRequest) else "likelihood"


def canonical_json(value: object) -> str:
    """One spelling per value: sorted names, no spaces, ASCII, floats as their shortest exact text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def reply_json(reply: Reply) -> str:
    """A reply in its one spelling.

    Raises:
        CallFailed: a log-likelihood is not a finite number.
    """
    try:
        return canonical_json(reply.model_dump())
    except ValueError as error:
        raise CallFailed(f"a reply's log-likelihoods must be finite, got {reply}: it is not stored") from error


def parse_request(fields: Mapping[str, Any]) -> Request:
    """A request from its fields. Raises ValueError where they are none."""
    kind = CompletionRequest if "prompt" in fields else LikelihoodRequest
    return kind.model_validate(fields)


def parse_reply(fields: Mapping[str, Any]) -> Reply:
    """A reply from its fields. Raises ValueError where they are none."""
    kind = Completion if "choices" in fields else Likelihoods
    return kind.model_validate(fields)


def answers(request: Request, reply: Reply) -> bool:
    """Whether a reply is of the kind, and the number, that the request asks for."""
    if isinstance(request, CompletionRequest):
        return isinstance(reply, Completion) and len(reply.choices) == request.n
    return isinstance(reply, Likelihoods) and len(reply.values) == len(request.continuations)
