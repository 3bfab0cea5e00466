"""A server's key: read from where the user says, and taken out of everything that a server says."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Iterator

from pydantic import SecretStr

from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.openai.options import KEY_VARIABLE, OPENAI_URL, ServerOptions, place_of

HIDDEN = "[key]"
SHOWN = 300
"""Characters of a server's words that go into a message."""
# Nothing shorter is hidden: no key is, and every text would be full of holes.
SHORTEST_SECRET = 4
# Shorter ones ("EMPTY", "ollama") are placeholders, which an answer may hold by chance.
SHORTEST_KEY = 8
# A part of a key this long is hidden as well: servers cut what they quote.
PIECE = 10
# What may stand between two characters of a key that was broken over lines, also as JSON or a URL spells it.
_BETWEEN = r"(?:\s|\\+[rnt]|%0[ad]|%20)*"
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def read_key(options: ServerOptions) -> SecretStr | None:
    """The key, or None where none was named and the server may do without.

    Raises:
        BackendUnavailable: the variable or file named is not there, or OpenAI is asked without a key.
        BackendInputError: what it holds is not one line of plain characters.
    """
    if options.key_file is not None:
        where = f"--key-file {options.key_file}"
        try:
            text = options.key_file.expanduser().read_text(encoding="utf-8")
        except OSError as error:
            raise BackendUnavailable(f"{where} cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise BackendInputError(f"{where} must hold a key on one line, it holds no text") from None
    else:
        name = options.key_env or KEY_VARIABLE
        where = f"the variable {name}"
        found = os.environ.get(name, "")
        if not found.strip():
            if options.key_env is not None:
                raise BackendUnavailable(f"--key-env {name} names a variable that is not set: set it to the key")
            if place_of(options.base_url) == place_of(OPENAI_URL):
                raise BackendUnavailable(
                    f"api.openai.com needs a key, {name} is not set: set it, or name another with --key-env or "
                    "--key-file, or another server with --base-url"
                )
            return None
        text = found
    key = text.strip()
    # Told without what it holds. Other characters cannot stand in a header, and its error would show them all.
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise BackendInputError(f"{where} must hold a key on one line, without spaces or characters beyond ASCII")
    return SecretStr(key)


class Redactor:
    """Hides secrets in a server's words, however they are spelled there.

    Found are the secret as it is, with characters escaped as in URLs, JSON or HTML, in base64 (also inside a longer
    text, such as a whole header), in hexadecimal, broken over lines, and any long part of it.

    Args:
        secrets: what no message may show.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        kept = sorted({secret for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len, reverse=True)
        forms = [form for secret in kept for form in _forms(secret)]
        self._whole = re.compile("|".join(forms), re.IGNORECASE) if forms else None
        keys = [form for secret in kept if len(secret) >= SHORTEST_KEY for form in _forms(secret)]
        self._keys = re.compile("|".join(keys), re.IGNORECASE) if keys else None
        pieces = {secret[at : at + PIECE] for secret in kept for at in range(max(1, len(secret) - PIECE + 1))}
        self._pieces = re.compile("|".join(map(re.escape, sorted(pieces))), re.IGNORECASE) if pieces else None

    def holds(self, text: str) -> bool:
        """Whether a key is in a text; placeholders do not count."""
        return self._keys is not None and self._keys.search(text) is not None

    def clean(self, text: str) -> str:
        """A text without secrets, on one line of printable characters, cut to `SHOWN`."""
        for pattern in (self._whole, self._pieces):
            if pattern is not None:
                text = pattern.sub(HIDDEN, text)
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        text = re.sub(rf"(?:{re.escape(HIDDEN)}[^\s\"']*)+", HIDDEN, text)
        return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _forms(secret: str) -> Iterator[str]:
    """Patterns of one secret."""
    yield _BETWEEN.join(_character(c) for c in secret)
    if len(secret) < SHORTEST_KEY:
        return
    yield _BETWEEN.join(re.escape(c) for c in secret.encode().hex())
    for shift in range(3):
        # Inside a longer text the secret starts at any of three places in a group of three bytes; the characters that
        # it shares with its neighbours are left out.
        size = shift + len(secret.encode())
        coded = base64.b64encode(b"\0" * shift + secret.encode()).decode().rstrip("=")
        own = coded[(0, 2, 3)[shift] : len(coded) - (size % 3 != 0)]
        yield _BETWEEN.join({"+": r"[+\-]", "/": r"(?:\\?/|_)"}.get(c, re.escape(c)) for c in own)


def _character(c: str) -> str:
    """One character, or what JSON, a URL (once or twice escaped) and HTML may write for it."""
    code = ord(c)
    spellings = [rf"\\*{re.escape(c)}", rf"%(?:25)*{code:02x}", rf"\\+u00{code:02x}", rf"\\+x{code:02x}"]
    spellings += [rf"&\#0*{code};", rf"&\#x0*{code:x};"]
    if c in _NAMED:
        spellings.append(_NAMED[c])
    return f"(?:{'|'.join(spellings)})"
