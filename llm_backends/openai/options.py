"""Options of `--llm openai:MODEL`: where the server is, how hard it may be asked and what that may cost.

No key is stored here, only the name of the variable or file that holds it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import BeforeValidator, Field, model_validator

from llm_backends.errors import BackendInputError
from spae.canonical import Frozen, canonical_json

Api = Literal["completions", "chat"]

OPENAI_URL = "https://api.openai.com/v1"
URL_VARIABLE = "OPENAI_BASE_URL"
KEY_VARIABLE = "OPENAI_API_KEY"

ANTHROPIC_HOST = "api.anthropic.com"
# Hosts whose compatible endpoint has chat only, by their documentation.
CHAT_ONLY = (
    ANTHROPIC_HOST,
    "generativelanguage.googleapis.com",
    "api.mistral.ai",
    "api.groq.com",
    "api.x.ai",
    "api.perplexity.ai",
)
OPENAI_HOST = "api.openai.com"
# The models of OpenAI that its completions still serve; all others are chat models.
OPENAI_COMPLETIONS = ("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002")
AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")

_BUDGET = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(usd|tok)", re.ASCII)
_PRICE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?),(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
_SECRET_NAME = re.compile(r"key|token|secret|passw|auth|sig|credential|code", re.IGNORECASE)
_SECRET_FIELD = re.compile(r"api[_-]?key|secret|passw|authori[sz]ation|credential", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,2000}")
OWN_FIELDS = frozenset(
    {"model", "prompt", "messages", "max_tokens", "max_completion_tokens", "n", "stop", "seed", "temperature", "echo",
     "logprobs", "stream"}
)  # fmt: skip
"""Of a request's body: the run decides them."""
OWN_HEADERS = frozenset(
    {"host", "content-type", "content-length", "transfer-encoding", "connection", "accept", "accept-encoding"}
)
_ENDPOINT = re.compile(r"/(chat/completions|completions|models|responses)$")


class Budget(Frozen):
    """The most that one command may spend."""

    amount: Decimal
    unit: Literal["usd", "tok"]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "5usd", "0.25usd" or "200000tok".

        Raises:
            BackendInputError: it is neither, or zero.
        """
        found = _BUDGET.fullmatch(text)
        if found is None or not Decimal(found[1]) or (found[2] == "tok" and "." in found[1]):
            raise BackendInputError(f"budget is dollars or tokens, such as 5usd, 0.25usd or 200000tok, got {text!r}")
        return cls(amount=Decimal(found[1]), unit="usd" if found[2] == "usd" else "tok")

    def __str__(self) -> str:
        return f"${self.amount}" if self.unit == "usd" else f"{self.amount:,} tokens"


class Price(Frozen):
    """Dollars per million tokens."""

    prompt: Decimal
    completion: Decimal

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "0.15,0.60": prompt tokens, reply tokens.

        Raises:
            BackendInputError: it is not two such numbers.
        """
        found = _PRICE.fullmatch(text)
        if found is None:
            raise BackendInputError(
                f"price is IN,OUT in dollars per million prompt and reply tokens, such as 0.15,0.60, got {text!r}"
            )
        return cls(prompt=Decimal(found[1]), completion=Decimal(found[2]))

    def of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """Dollars, exactly."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1_000_000


def _budget(value: Any) -> Any:
    return Budget.parse(value) if isinstance(value, str) else value


def _price(value: Any) -> Any:
    return Price.parse(value) if isinstance(value, str) else value


def _body(value: Any) -> Any:
    """Fields with their values read as JSON, where they are JSON; other text stays text."""
    if not isinstance(value, Mapping):
        return value
    return {name: _json(one) if isinstance(one, str) else one for name, one in value.items()}


def _json(text: str) -> Any:
    try:
        value = json.loads(text)
        canonical_json(value)  # refuses what is not JSON: NaN, 1e999
    except (ValueError, RecursionError):
        return text
    return value


class ServerOptions(Frozen):
    """How to ask a server that speaks OpenAI's protocol."""

    base_url: str = Field(
        default_factory=lambda: os.environ.get(URL_VARIABLE) or OPENAI_URL,
        description=f"URL before /completions, usually ending in /v1 (default: ${URL_VARIABLE}, else {OPENAI_URL})",
    )
    api: Literal["auto", "completions", "chat"] = Field(
        default="auto",
        description="endpoint to call; auto: chat for hosts and models known to have nothing else, else completions",
    )
    key_env: str | None = Field(
        default=None, description=f"environment variable that holds the key (default: {KEY_VARIABLE})"
    )
    key_file: Path | None = Field(
        default=None, description="file of one line that holds the key, instead of a variable"
    )
    concurrency: int = Field(
        default=8, ge=1, le=512, description="calls at once, 1 to 512; fewer while the server answers 429"
    )
    timeout: float = Field(
        default=60.0, gt=0, le=3600, allow_inf_nan=False, description="seconds for one call, at most 3600"
    )
    max_attempts: int = Field(default=6, ge=1, le=20, description="calls per request before it fails, 1 to 20")
    budget: Annotated[Budget | None, BeforeValidator(_budget)] = Field(
        default=None, description="most to spend in one command: 5usd (needs price) or 200000tok"
    )
    price: Annotated[Price | None, BeforeValidator(_price)] = Field(
        default=None, description="IN,OUT in dollars per million prompt and reply tokens, such as 0.15,0.60"
    )
    tokenizer: Path | None = Field(
        default=None, description="folder with the model's tokenizer.json, to count tokens exactly"
    )
    echo_logprobs: bool = Field(
        default=False,
        description="the server's completions return a prompt's log-probabilities (echo with logprobs), which ranked "
        "scoring needs",
    )
    body: Annotated[dict[str, Any], BeforeValidator(_body)] = Field(
        default={},
        description="further field of every request, such as body.repeat_penalty=1.0 for a server whose defaults are "
        "not greedy; values are JSON, else text; part of the stored replies' keys",
    )
    header: dict[str, str] = Field(
        default={}, description="further header of every request, no secret; part of the stored replies' keys"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        place_of(self.base_url)
        for name in self.body:
            if name in OWN_FIELDS:
                raise BackendInputError(f"body.{name} is decided by the run, which asks with it: leave it out")
            if _SECRET_FIELD.search(name):
                raise BackendInputError(f"body.{name} would stand in files and reports: name the key with key_env")
        for name, value in self.header.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise BackendInputError(
                    f"header.NAME=VALUE takes a header's name and printable ASCII, got header.{name[:40]!a}"
                )
            if name.lower() in OWN_HEADERS:
                raise BackendInputError(f"header.{name} is decided by the protocol: leave it out")
            if _SECRET_NAME.search(name) or name.lower() == "cookie":
                raise BackendInputError(f"header.{name} would stand in files and reports: name the key with key_env")
        if self.key_env is not None and self.key_file is not None:
            raise BackendInputError("key_env and key_file both name a key: give one")
        if self.budget is not None and self.budget.unit == "usd" and self.price is None:
            raise BackendInputError(
                f"budget={self.budget.amount}usd needs the price of a token: add price=IN,OUT (dollars per million "
                "tokens), or give the budget in tokens"
            )
        return self

    def api_of(self, model: str) -> Api:
        """The endpoint that a model is asked through."""
        if self.api != "auto":
            return self.api
        host = urlsplit(self.base_url).hostname or ""
        if host == OPENAI_HOST:
            return "completions" if model.startswith(OPENAI_COMPLETIONS) else "chat"
        return "chat" if host in CHAT_ONLY else "completions"

    @property
    def further(self) -> str:
        """Fields and headers that replies depend on, as canonical JSON; empty where none are set."""
        header = {name.lower(): value for name, value in self.header.items()}
        given = {"body": self.body, "header": header}
        return canonical_json({name: held for name, held in given.items() if held}) if self.body or header else ""

    @property
    def on_azure_deployment(self) -> bool:
        """Azure's older form, where the path names the deployment and the key goes into a header of its own."""
        parts = urlsplit(self.base_url)
        return (parts.hostname or "").endswith(AZURE) and "/deployments/" in parts.path

    @property
    def query(self) -> dict[str, str]:
        """The base URL's query (Azure's api-version), sent with every call."""
        return dict(parse_qsl(urlsplit(self.base_url).query))

    @property
    def plain_url(self) -> str:
        """The base URL without its query."""
        return urlsplit(self.base_url)._replace(query="").geturl()


def place_of(base_url: str) -> str:
    """Host, port and path of a base URL in one spelling, which tells servers apart.

    The port of https is left out and that of http is not, so that the two never look the same.

    Raises:
        BackendInputError: it is not such a URL, or carries a password or key; the message never quotes those.
    """
    rule = "base_url is http(s)://HOST[:PORT]/PATH, such as http://localhost:8000/v1"
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BackendInputError(f"{rule}, got one that cannot be read") from None
    if parts.username is not None or parts.password is not None:
        raise BackendInputError(f"{rule}, got one with a user or password in it: name the key with key_env")
    secret = next((name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if _SECRET_NAME.search(name)), "")
    if secret:
        raise BackendInputError(f"{rule}, got one with {secret!r} in its query: name the key with key_env")
    if re.search(r"[\s\x00-\x1f\x7f\\]", base_url) or parts.fragment:
        raise BackendInputError(f"{rule}, got one with a space, backslash or '#' in it")
    if parts.scheme not in ("http", "https") or not host:
        raise BackendInputError(f"{rule}, got {base_url!r}")
    path = re.sub(r"/+", "/", parts.path).rstrip("/")
    if end := _ENDPOINT.search(path):
        raise BackendInputError(f"{rule}, got one that ends in {end[0]}: leave that out, it is added")
    host = f"[{host}]" if ":" in host else host.rstrip(".")
    port = port or {"http": 80, "https": 443}[parts.scheme]
    place = host if (parts.scheme, port) == ("https", 443) else f"{host}:{port}"
    return f"{place}{path}"
