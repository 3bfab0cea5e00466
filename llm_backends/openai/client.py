"""The client library's client, as this package wants it. Importing it is slow."""

from __future__ import annotations

import logging

import openai
from pydantic import SecretStr

from llm_backends.openai.answer_body import bound_body
from llm_backends.openai.options import ServerOptions


def open_client(options: ServerOptions, key: SecretStr | None) -> openai.AsyncOpenAI:
    """The client, without retries, redirects or logs of its own."""
    # At lower levels they log URLs, headers and a server's own words, which may hold a key.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    secret = key.get_secret_value() if key is not None else ""
    headers = {"api-key": secret} if secret and options.on_azure_deployment else {}
    headers |= options.header
    timeout = openai.Timeout(options.timeout)
    return openai.AsyncOpenAI(
        api_key=secret or "none",
        base_url=options.plain_url,
        default_query=options.query,
        default_headers=headers,
        max_retries=0,
        timeout=timeout,
        http_client=openai.DefaultAsyncHttpxClient(
            timeout=timeout, follow_redirects=False, event_hooks={"response": [bound_body]}
        ),
    )
