"""One stored reply: a sample of a completion or the log-likelihoods of a request, with its identity and request.

A reply to a request for n samples is n entries, each under its own key.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from llm_backends.cache.request_key import key_of, key_text
from llm_backends.errors import CallFailed
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
from spae.canonical import Frozen, canonical_json

Part = Choice | Likelihoods
"""The reply of one entry."""


class Provenance(Frozen):
    """A question that a stored reply answered: stored with an entry, and not part of its key.

    Two tokenizers may turn different images into the same words, and then share a reply; this records that they do.
    """

    task: str = Field(description="name of the task")
    sample: str = Field(description="id of the sample, or episode, in the task's manifest")
    tokenizer: str = Field(description="name of the tokenizer whose words are in the prompt")
    fingerprint: str = Field(description="sha256 of that tokenizer: configuration, weights and vocabulary")


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored reply, or one sample of it."""

    key: str
    text: bytes
    """The text that `key` is the hash of."""
    identity: Identity
    request: Request
    sample: int
    part: Part

    @classmethod
    def of(cls, identity: Identity, request: Request, sample: int, part: Part) -> Entry:
        """The entry of a part, after checking that it belongs to the request.

        Raises:
            ValueError: the request has no such sample, or asks for another kind of reply.
        """
        most = request.n if isinstance(request, CompletionRequest) else 1
        if not 0 <= sample < most:
            raise ValueError(f"its request has samples 0 to {most - 1}, not {sample}")
        if isinstance(request, CompletionRequest) != isinstance(part, Choice):
            raise ValueError("its reply is not of the kind its request asks for")
        if isinstance(request, LikelihoodRequest) and len(part.values) != len(request.continuations):  # type: ignore[union-attr]
            raise ValueError("its reply has not one log-likelihood for each continuation")
        return cls.unchecked(identity, request, sample, part)

    @classmethod
    def unchecked(cls, identity: Identity, request: Request, sample: int, part: Part) -> Entry:
        """As `of`, for parts that are known to belong together."""
        text = key_text(identity, request, sample)
        return cls(key_of(text), text, identity, request, sample, part)

    @property
    def is_empty(self) -> bool:
        """Whether the reply is only white space."""
        return isinstance(self.part, Choice) and not self.part.text.strip()


class ReplySource(Protocol):
    """Stored replies to look up: a ReplyCache or a ReadOnlySource."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    def find(self, wanted: Mapping[str, bytes]) -> dict[str, Part]:
        """Those of the keys (key -> its text) that are stored, checked. Raises CacheCorrupt."""
        ...

    def keys(self) -> list[str]:
        """Every key, sorted."""
        ...

    def entry(self, key: str) -> Entry | None:
        """The entry under a key, checked, or None. Raises CacheCorrupt."""
        ...

    def with_prompt(self, prompt: str) -> Iterator[Entry]:
        """Entries of this `prompt_key`, of any model and parameters; damaged ones are skipped."""
        ...

    def nearest_in_length(self, length: int, most: int) -> Iterator[Entry]:
        """At most `most` entries whose requests are closest to `length` characters; damaged ones are skipped."""
        ...


def entries_of(identity: Identity, request: Request, reply: Reply) -> list[Entry]:
    """A reply as entries.

    Raises:
        CallFailed: it does not answer the request (see `defect_of`).
    """
    defect = defect_of(request, reply)
    if defect is not None:
        raise CallFailed(f"{identity.model} must give one complete reply per request, {defect}: it is not stored")
    parts: Sequence[Part] = reply.choices if isinstance(reply, Completion) else (reply,)
    return [Entry.unchecked(identity, request, i, part) for i, part in enumerate(parts)]


def reply_of(parts: Sequence[Part]) -> Reply:
    """The reply that entries' parts, in order of their samples, came from."""
    first = parts[0]
    return first if isinstance(first, Likelihoods) else Completion(choices=tuple(parts))  # type: ignore[arg-type]


def defect_of(request: Request, reply: Reply) -> str | None:
    """Why a reply does not answer a request; None if it does.

    An empty text that ends at the limit was cut off before its first word (a lost connection, or hidden reasoning):
    unlike an empty text that ends by itself, it is not a reply.
    """
    if not isinstance(reply, (Completion, Likelihoods)):
        return f"got {type(reply).__name__}"
    if isinstance(request, CompletionRequest):
        if not isinstance(reply, Completion):
            return "got log-likelihoods where text was asked for"
        if len(reply.choices) != request.n:
            return f"got {len(reply.choices)} samples where {request.n} were asked for"
        if any(not choice.text and choice.finish == "length" for choice in reply.choices):
            return f"got no text, and yet the limit of {request.max_new_tokens} tokens was met"
        return None
    if not isinstance(reply, Likelihoods):
        return "got text where log-likelihoods were asked for"
    if len(reply.values) != len(request.continuations):
        return f"got {len(reply.values)} log-likelihoods where {len(request.continuations)} were asked for"
    if not all(map(math.isfinite, reply.values)):
        return f"got log-likelihoods that are not finite, {list(reply.values)}"
    return None


def part_json(part: Part) -> str:
    """Canonical JSON: `{"finish":"stop","text":"..."}` or `{"values":[...]}`."""
    return canonical_json(part.model_dump(mode="json"))


def parse_part(text: bytes) -> Part:
    """A part from its canonical JSON. Raises ValueError if it is not one."""
    kind = Likelihoods if text.startswith(b'{"values"') else Choice
    return kind.model_validate_json(text)


def parse_request(fields: Mapping[str, Any]) -> Request:
    """A request from its fields. Raises ValueError if they are invalid."""
    kind = CompletionRequest if "prompt" in fields else LikelihoodRequest
    return kind.model_validate(fields)


def parse_entry(text: bytes, part: Part) -> Entry:
    """The entry of a key's text and its part.

    Raises:
        ValueError: the text is not the key text of a request, byte for byte.
    """
    try:
        parts = json.loads(text)
        entry = Entry.of(
            Identity.model_validate(parts["identity"]), parse_request(parts["request"]), parts["sample"], part
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"its request is incomplete ({error!r})") from error
    if entry.text != text:
        raise ValueError("its request is not canonical JSON")
    return entry


def checksum(*fields: bytes) -> str:
    """32 hexadecimal digits over fields without line breaks."""
    return hashlib.sha256(b"\n".join(fields)).hexdigest()[:32]
