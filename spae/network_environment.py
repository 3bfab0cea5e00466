"""What environment variables say about the network, read and checked in one place. Every room may import it.

Clients are given the outcome (`client_settings`) instead of reading the variables themselves, each in its own way and
with a traceback for what it does not understand. What is wrong is `EnvironmentProblem`: each room turns it into its own
error. Messages name the variable and never a proxy's password.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "socks5", "socks5h")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class EnvironmentProblem(ValueError):
    """A variable that no client can follow; one line that names it."""


@dataclass(frozen=True)
class Proxy:
    """The proxy on the way to a server.

    Attributes:
        url: with its password, if it has one.
        shown: scheme, host and port, and the variable that names it.
    """

    url: str
    shown: str


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine: a proxy cannot reach what is meant."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment names for a URL; None for a loopback address, or one that NO_PROXY lists.

    Raises:
        EnvironmentProblem: it is not http(s)://HOST:PORT or socks5(h)://HOST:PORT, or its package is missing.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    found = urllib.request.getproxies()
    kind = next((one for one in (parts.scheme, "all") if found.get(one)), None)
    if kind is None or is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    variable = _variable(f"{kind}_proxy")
    value = found[kind] if "://" in found[kind] else f"http://{found[kind]}"
    rule = f"{variable} must be http(s)://HOST:PORT or socks5(h)://HOST:PORT"
    try:
        proxy = urlsplit(value)
        name, port = proxy.hostname, proxy.port
    except ValueError:
        raise EnvironmentProblem(f"{rule}, got one that cannot be read: correct it or unset it") from None
    shown = f"{proxy.scheme}://{name}{f':{port}' if port else ''}"
    if proxy.scheme not in SCHEMES or not name or _unprintable(value):
        raise EnvironmentProblem(f"{rule}, got {ascii(shown)[1:-1][:80]}: correct it or unset it")
    if proxy.scheme.startswith("socks") and find_spec("socksio") is None:
        raise EnvironmentProblem(
            f"{variable} names a SOCKS proxy ({shown}), whose package is not installed: pip install socksio, name an "
            "http proxy, or unset it"
        )
    return Proxy(value, f"{shown}, ${variable}")


def check_environment(url: str) -> None:
    """Check all that a client would read from the environment on its way to a URL.

    Raises:
        EnvironmentProblem: as `proxy_for`; or a file or folder of certificates is missing or unreadable.
    """
    proxy_for(url)
    _certificates()


def client_settings(url: str) -> tuple[Proxy | None, ssl.SSLContext | bool]:
    """The proxy and the certificates for a client of httpx, which then reads no variable itself (`trust_env=False`).

    Returns: the proxy, and what `verify` takes: True is the client's own certificates.

    Raises:
        EnvironmentProblem: as `check_environment`.
    """
    proxy, context = proxy_for(url), _certificates()
    return proxy, True if context is None else context


def _certificates() -> ssl.SSLContext | None:
    """The certificates that the environment names; None if it names none."""
    file, folder = (os.environ.get(name) or None for name in CERTIFICATES)
    for variable, path, there in zip(CERTIFICATES, (file, folder), (os.path.isfile, os.path.isdir), strict=True):
        if path is not None and not there(path):
            raise EnvironmentProblem(
                f"{variable} must name {'a file' if there is os.path.isfile else 'a folder'} of certificates, there "
                f"is none at {ascii(str(Path(path)))[1:-1][:120]}: correct it or unset it"
            )
    keys = os.environ.get("SSLKEYLOGFILE")
    if keys and not os.path.isdir(os.path.dirname(keys) or os.curdir):
        raise EnvironmentProblem(
            f"SSLKEYLOGFILE must name a file in a folder that exists, got {ascii(keys)[1:-1][:120]}: correct it or "
            "unset it"
        )
    if file is None and folder is None:
        return None
    try:
        return ssl.create_default_context(cafile=file, capath=folder)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise EnvironmentProblem(
            f"{CERTIFICATES[0] if file else CERTIFICATES[1]} must hold certificates in PEM ({reason}): correct it or "
            "unset it"
        ) from error


def _variable(name: str) -> str:
    """The spelling in which the variable is set: the lower case wins, as for urllib."""
    return name if os.environ.get(name) or not os.environ.get(name.upper()) else name.upper()


def _unprintable(text: str) -> bool:
    return re.search(r"[\s\x00-\x1f\x7f\ud800-\udfff]", text) is not None


def check_host(url: str) -> None:
    """Check that a URL can be sent: no lone surrogates, and a host that the domain name system can spell.

    Raises:
        ValueError: one line with the rule and the value seen, in ASCII.
    """
    if re.search(r"[\ud800-\udfff]", url):
        raise ValueError(f"must be valid Unicode, got a lone surrogate in {ascii(url)[:80]}")
    host = urlsplit(url).hostname or ""
    if host.isascii():
        return
    import idna  # of the HTTP client; only for hosts that need it

    try:
        idna.encode(host.rstrip("."))
    except idna.IDNAError as error:
        raise ValueError(
            f"must have a host that can be written as an internationalised name ({ascii(str(error))[1:-1][:80]}), got "
            f"{ascii(host)[:80]}"
        ) from None
