"""Error answers of servers, which agree on the HTTP status and on little else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import openai

from llm_backends.openai.schema import message_of

MAX_WORDS = 5_000
"""Characters of a server's words that are searched."""
TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
# OpenAI and vLLM: "maximum context length is 4096 tokens"; llama.cpp: "exceeds the available context size";
# Anthropic: "prompt is too long"; Gemini: "input token count (9000) exceeds the maximum".
TOO_LONG = re.compile(
    r"maximum context length|exceeds? the (available |model'?s )?(maximum )?context"
    r"|context (window|size|length) exceeded|(prompt|input) is too long|input token count.{0,40}exceeds",
    re.IGNORECASE,
)
LIMITS = ("max_completion_tokens", "max_tokens")
# What is wrong with every request, whatever the status says: proxies pass the words of a server behind them on, with
# statuses of their own. OpenAI, vLLM: "The model `m` does not exist"; litellm: "Invalid model name passed in model=m",
# "AuthenticationError: OpenAIException - Incorrect API key provided"; transformers serve: "Server is pinned to 'm'";
# nginx, Go: "The plain HTTP request was sent to HTTPS port", "Client sent an HTTP request to an HTTPS server".
SETUP = re.compile(
    r"invalid model name|server is pinned to|(no such|unknown|unrecognized) model\b"
    r"|(invalid|incorrect|wrong|missing|expired|no) (proxy )?(server )?(api[ _-]?key|token passed|credentials)"
    r"|authentication ?error|http request (was sent )?to (an )?https",
    re.IGNORECASE | re.DOTALL,
)
# Of a server that is starting, the same words with a status of 5xx pass.
MODEL_MISSING = re.compile(
    r"\bmodels?\b.{0,120}\b((does|do)(n't| not) exist|not (be )?(found|available|loaded|served))",
    re.IGNORECASE | re.DOTALL,
)
SETUP_CODES = frozenset({"model_not_found", "invalid_api_key", "authentication_error", "DeploymentNotFound"})
# A stop string is cut off here as well, and a temperature of 0 is what a server that refuses it may do by default.
STOP_REFUSED = re.compile(
    r"\bstop\b['\"`]?.{0,60}(unsupported|not (be )?(supported|permitted|allowed)|unrecognized|deprecated)"
    r"|(unsupported|unrecognized|unknown).{0,40}['\"` ]stop\b",
    re.IGNORECASE | re.DOTALL,
)


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
            self.code in TOO_LONG_CODES or TOO_LONG.search(self.words[:MAX_WORDS]) is not None
        )

    @property
    def setup(self) -> bool:
        """The key, the model's name or the address is wrong, so that no request will be answered."""
        words = self.words[:MAX_WORDS]
        missing = 400 <= self.status < 500 and self.status != 429 and MODEL_MISSING.search(words) is not None
        return self.code in SETUP_CODES or SETUP.search(words) is not None or missing

    def dispensable(self, body: Mapping[str, Any]) -> str | None:
        """A field that the server refuses and that may be left out: `temperature` where it is 0, or `stop`."""
        if self.status not in (400, 422):
            return None
        if body.get("temperature") == 0 and "temperature" in self.words.lower():
            return "temperature"
        return "stop" if "stop" in body and STOP_REFUSED.search(self.words[:MAX_WORDS]) else None

    @property
    def other_limit(self) -> str | None:
        """The name of the max-tokens field that the server wants, if it refuses the other one."""
        if self.status not in (400, 422):
            return None
        words = self.words[:MAX_WORDS]
        found = re.search(r"max_completion_tokens|max_tokens", words)
        if found is None or not re.search(r"unsupported|not supported|unrecognized|unknown|extra", words, re.I):
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
