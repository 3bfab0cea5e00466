"""A server behind what the environment says of the network: proxies, certificates, and names that cannot be sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import llm_backends.openai.rate_limit
from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.openai.backend import OpenAIBackend
from llm_backends.openai.options import ServerOptions
from llm_backends.protocol import Completion, CompletionRequest
from tests.llm_backends.openai_server import FaultServer

ASK = CompletionRequest(prompt="Q", max_new_tokens=7)


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    monkeypatch.setattr(llm_backends.openai.rate_limit, "FIRST_WAIT", 0.01)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    running = FaultServer()
    yield running
    running.close()


def ask(url: str) -> object:
    backend = OpenAIBackend("m", ServerOptions(base_url=url))
    try:
        ((_, end),) = backend.stream([ASK])
        return end
    finally:
        backend.close()


@pytest.mark.parametrize("value", ["http://127.0.0.1:9", "socks://127.0.0.1:1080/"])
def test_a_server_on_this_machine_is_asked_without_its_proxy(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    monkeypatch.setenv("http_proxy", value)
    assert isinstance(ask(server.url), Completion)


def test_a_server_elsewhere_is_asked_through_its_proxy(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    assert isinstance(ask("http://api.invalid/v1"), Completion)
    assert server.seen[0].headers["host"] == "api.invalid"


def test_a_failed_connection_names_the_proxy_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    with pytest.raises(
        BackendUnavailable, match=r"no connection through the proxy http://127.0.0.1:9, \$HTTPS_PROXY"
    ) as caught:
        ask("https://api.invalid/v1")
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "socks://127.0.0.1:1080/"), ("HTTPS_PROXY", "ftp://x"), ("SSL_CERT_FILE", "/gone.pem")],
)
def test_a_variable_that_cannot_be_followed_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BackendInputError, match=f"^{variable} "):
        ask("https://api.invalid/v1")


@pytest.mark.parametrize(
    "url", ["http://ho\udc80st/v1", "http://host/\ud800/v1", "http://\u05d0a\u05d1.example/v1", "http://a\u202eb.c/v1"]
)
def test_a_url_that_cannot_be_sent_is_one_line(url: str) -> None:
    with pytest.raises(BackendInputError, match="base_url is http") as caught:
        ServerOptions(base_url=url)
    assert str(caught.value).isascii() and "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["m\udc80", "m\ud800", "a\u202eb", "a\nb"])
def test_a_models_name_that_cannot_be_sent_is_one_line(model: str) -> None:
    with pytest.raises(BackendInputError, match="model's name is printable text") as caught:
        OpenAIBackend(model, ServerOptions(base_url="http://localhost:1/v1"))
    assert str(caught.value).isascii() and "\n" not in str(caught.value)
