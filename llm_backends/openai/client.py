"""The client library's client, as this package wants it. Importing it is slow."""

from __future__ import annotations

import logging
import ssl

import openai
from pydantic import SecretStr

from llm_backends.errors import BackendInputError
from llm_backends.openai.answer_body import bound_body
from llm_backends.openai.options import ServerOptions
from spae.network_environment import EnvironmentProblem, Proxy, client_settings


def network_settings(options: ServerOptions) -> tuple[Proxy | None, ssl.SSLContext | bool]:
    """The proxy to the server, and the certificates. Raises BackendInputError: a variable that cannot be followed."""
    try:
        return client_settings(options.plain_url)
    except EnvironmentProblem as error:
        raise BackendInputError(str(error)) from None


def open_client(
    options: ServerOptions, key: SecretStr | None, proxy: Proxy | None, verify: ssl.SSLContext | bool
) -> openai.AsyncOpenAI:
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
            timeout=timeout,
            follow_redirects=False,
            event_hooks={"response": [bound_body]},
            # The variables of the environment have been read: `spae.network_environment`.
            proxy=proxy.url if proxy is not None else None,
            verify=verify,
            trust_env=False,
        ),
    )
