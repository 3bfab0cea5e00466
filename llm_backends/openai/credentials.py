"""A server's key: where it is read from, and its redaction from everything that the server sends."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable
from urllib.parse import quote

from pydantic import SecretStr

from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.openai.options import KEY_VARIABLE, OPENAI_URL, ServerOptions, place_of
from spae.regular_file import read_text

HIDDEN = "[key]"
MAX_SHOWN = 300
"""Characters of a server's words that go into a message."""
MOST_KEY = 65_536
"""Bytes of a file with a key."""
MAX_READ = 20_000
"""Characters of a server's words that are looked at; what follows them is dropped."""
MIN_KEY = 8
"""Shorter values ("none", "model", "EMPTY") are placeholders and words of every text: they are not redacted."""


def read_key(options: ServerOptions) -> SecretStr | None:
    """The key, or None if none was named and the server may not need one.

    Raises:
        BackendUnavailable: the variable or file named does not exist, or OpenAI is asked without a key.
        BackendInputError: its content is not one line of printable ASCII.
    """
    if options.key_file is not None:
        where = f"key_file={options.key_file}"
        try:
            text = read_text(options.key_file.expanduser(), MOST_KEY)
        except OSError as error:
            raise BackendUnavailable(f"{where} cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise BackendInputError(f"{where} must hold a key on one line, it is not a text file") from None
    else:
        name = options.key_env or KEY_VARIABLE
        where = f"the variable {name}"
        text = os.environ.get(name, "")
        if not text.strip():
            if options.key_env is not None:
                raise BackendUnavailable(f"key_env={name} names a variable that is not set: set it to the key")
            if place_of(options.base_url) == place_of(OPENAI_URL):
                raise BackendUnavailable(
                    f"api.openai.com needs a key, {name} is not set: set it, or name another with key_env or key_file, "
                    "or another server with base_url"
                )
            return None
    key = text.strip()
    # Other characters are invalid in a header, whose error would show them; so the message does not quote the key.
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise BackendInputError(f"{where} must hold a key on one line, without spaces or characters beyond ASCII")
    return SecretStr(key)


class Redactor:
    """Replaces secrets in a server's words: as they are, escaped as in JSON or a URL, and in base64.

    Args:
        secrets: what no message may show.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        kept = sorted({secret for secret in secrets if len(secret) >= MIN_KEY}, key=len, reverse=True)
        self._spellings = [form for secret in kept for form in spellings(secret)]
        self._longest = max(map(len, self._spellings), default=0)

    def holds(self, text: str) -> bool:
        """Whether a text contains a key; placeholders do not count."""
        return any(form in text for form in self._spellings)

    def clean(self, text: str) -> str:
        """A text without secrets, on one line of printable characters, shortened to `MAX_SHOWN`."""
        if len(text) > MAX_READ:
            text = text[: MAX_READ + self._longest]
            # A key that the cut left in part is within the last characters, which are dropped after the redaction.
            text = self._redacted(text)[: -self._longest or None]
        text = " ".join("".join(c if c.isprintable() else " " for c in self._redacted(text)).split())
        return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."

    def _redacted(self, text: str) -> str:
        for form in self._spellings:
            text = text.replace(form, HIDDEN)
        return text


def spellings(secret: str) -> list[str]:
    """A secret and its escaped forms, longest first, so that none is left in part."""
    quoted = quote(secret, safe="")
    in_json = json.dumps(secret)[1:-1]
    forms = {secret, quoted, re.sub("%..", lambda m: m[0].lower(), quoted), in_json, in_json.replace("/", "\\/")}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms.add(encode(secret.encode()).decode().rstrip("="))
    return sorted(forms, key=lambda form: (-len(form), form))
