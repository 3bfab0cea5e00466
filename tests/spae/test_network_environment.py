"""Proxies and certificates of the environment: who is asked through them, and one line for what cannot be followed."""

from __future__ import annotations

import ssl

import certifi
import pytest

from spae import network_environment
from spae.network_environment import (
    EnvironmentProblem,
    check_environment,
    check_host,
    client_settings,
    is_loopback,
    proxy_for,
)

SERVER = "https://api.example.org/v1"
VARIABLES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_without_variables_nothing_is_on_the_way():
    assert proxy_for(SERVER) is None and client_settings(SERVER) == (None, True)


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.3.2.1", "[::1]", "LOCALHOST."])
def test_loopback_addresses_bypass_proxies_of_any_kind(monkeypatch, host):
    for value in ("http://proxy:3128", "socks://proxy:1080", "nonsense://"):
        monkeypatch.setenv("ALL_PROXY", value)
        monkeypatch.setenv("HTTP_PROXY", value)
        assert proxy_for(f"http://{host}:8000/v1") is None
    assert is_loopback(host) and not is_loopback("10.0.0.1") and not is_loopback("localhost.example.org")


@pytest.mark.parametrize(
    ("variables", "url", "shown"),
    [
        ({"HTTPS_PROXY": "http://me:secret@proxy:1"}, "http://me:secret@proxy:1", "http://proxy:1, $HTTPS_PROXY"),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128", "http://proxy:3128, $https_proxy"),
        ({"ALL_PROXY": "https://proxy"}, "https://proxy", "https://proxy, $ALL_PROXY"),
        ({"ALL_PROXY": "http://a", "HTTPS_PROXY": "http://b:1"}, "http://b:1", "http://b:1, $HTTPS_PROXY"),
    ],
)  # fmt: skip
def test_a_proxy_is_shown_with_its_variable_and_without_its_password(monkeypatch, variables, url, shown):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(SERVER)
    assert proxy is not None and (proxy.url, proxy.shown) == (url, shown)
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert proxy_for(SERVER) is None


@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("socks://127.0.0.1:1080/", "got socks://127.0.0.1:1080"),
        ("socks4://proxy:1", "got socks4://proxy:1"),
        ("ftp://proxy:21", "got ftp://proxy:21"),
        ("http://", "got http://"),
        ("http://proxy:99999", "cannot be read"),
        ("http://proxy:port", "cannot be read"),
        ("http://[::1", "cannot be read"),
        ("http://pro\udc80xy", "got "),
        ("socks5://proxy:1080", "pip install socksio"),
        ("socks5h://me:secret@proxy:1080", "pip install socksio"),
    ],
)
def test_a_proxy_that_no_client_can_use_is_one_line_with_its_variable(monkeypatch, variable, value, said):
    monkeypatch.setattr(network_environment, "find_spec", lambda name: None)
    monkeypatch.setenv(variable, value)
    with pytest.raises(EnvironmentProblem) as caught:
        check_environment(SERVER)
    message = str(caught.value)
    assert message.startswith(f"{variable} ") and said in message and "unset it" in message
    assert "\n" not in message and message.isascii() and "secret" not in message


def test_a_socks_proxy_with_its_package_is_used(monkeypatch):
    monkeypatch.setattr(network_environment, "find_spec", lambda name: object())
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1080")
    assert proxy_for(SERVER).url == "socks5://proxy:1080"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_missing_are_one_line_with_their_variable(monkeypatch, tmp_path, variable):
    monkeypatch.setenv(variable, str(tmp_path / "gone"))
    with pytest.raises(EnvironmentProblem, match=rf"^{variable} must name a f.* there is none at .*gone"):
        client_settings("http://localhost:1/v1")


def test_certificates_are_those_of_the_file(monkeypatch, tmp_path):
    (tmp_path / "no.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no.pem"))
    with pytest.raises(EnvironmentProblem, match=r"^SSL_CERT_FILE must hold certificates in PEM"):
        client_settings(SERVER)
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    _, verify = client_settings(SERVER)
    assert isinstance(verify, ssl.SSLContext) and verify.get_ca_certs()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://ho\udc80st/v1", "lone surrogate"),
        ("http://host/v1\ud800", "lone surrogate"),
        ("http://\u05d0a\u05d1.example/v1", "internationalised name"),
        ("http://ho\u202est.example/v1", "internationalised name"),
        ("http://\U0001f600.example/v1", "internationalised name"),
    ],
)
def test_a_host_that_cannot_be_sent_is_one_ascii_line(url, said):
    with pytest.raises(ValueError, match=said) as caught:
        check_host(url)
    assert str(caught.value).isascii() and "\n" not in str(caught.value)
    check_host("http://b\u00fccher.example/v1")
    check_host("http://127.0.0.1:1/v1")


def test_a_key_log_in_no_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/nope/keys")
    with pytest.raises(EnvironmentProblem, match="SSLKEYLOGFILE must name a file in a folder that exists"):
        check_environment("https://example.org/v1")
