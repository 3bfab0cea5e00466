"""Error answers of servers, which agree on the HTTP status and on little else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import openai

from llm_backends.openai.schema import message_of

TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
# OpenAI and vLLM: "maximum context length is 4096 tokens"; llama.cpp: "exceeds the available context size";
# Anthropic: "prompt is too long"; Gemini: "input token count (9000) exceeds the maximum".
TOO_LONG = re.compile(
    r"maximum context length|exceeds? the (available |model'?s )?(maximum )?context"
    r"|context (window|size|length) exceeded|(prompt|input) is too long|input token count.{0,40}exceeds",
    re.IGNORECASE,
)
LIMITS = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True)
class Refusal:
    """An answer with a status other than success.

    Attributes:
        status: of HTTP, or the code in an error that came with 200.
        words: the server's own, not redacted yet.
        code: its name for the kind of error; empty if it has none.
        headers: of the answer.
    """

    status: int
    words: str
    code: str
    headers: Mapping[str, str]

    @property
    def quota(self) -> bool:
        """A 429 that waiting does not help: the account is out of money."""
        return self.code in ("insufficient_quota", "billing_hard_limit_reached")

    @property
    def too_long(self) -> bool:
        """The prompt is over the context length."""
        return self.status in (400, 413, 422) and (
            self.code in TOO_LONG_CODES or TOO_LONG.search(self.words) is not None
        )

    @property
    def other_limit(self) -> str | None:
        """The name of the max-tokens field that the server wants, if it refuses the other one."""
        if self.status not in (400, 422):
            return None
        found = re.search(r"max_completion_tokens|max_tokens", self.words)
        if found is None or not re.search(r"unsupported|not supported|unrecognized|unknown|extra", self.words, re.I):
            return None
        refused = found[0]  # OpenAI: "'max_tokens' is not supported with this model. Use 'max_completion_tokens' ..."
        return LIMITS[1 - LIMITS.index(refused)]


def read_refusal(error: openai.APIStatusError) -> Refusal:
    """The relevant parts of the client's error."""
    text = error.response.text
    words, code = text, error.code or ""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if body is not None:
        words = message_of(body) or text
        inner = body.get("error") if isinstance(body, dict) else None
        if isinstance(inner, dict):
            code = next((str(inner[name]) for name in ("code", "type") if isinstance(inner.get(name), str)), code)
    return Refusal(error.status_code, words, code, error.response.headers)
