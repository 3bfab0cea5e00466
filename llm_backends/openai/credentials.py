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
MIN_SECRET = 4
"""Shorter values are not redacted: no key is that short, and every text would be full of holes."""
MIN_KEY = 8
"""Shorter values ("EMPTY", "ollama") are placeholders, which a reply may contain by chance."""


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
        kept = sorted({secret for secret in secrets if len(secret) >= MIN_SECRET}, key=len, reverse=True)
        self._spellings = [form for secret in kept for form in spellings(secret)]
        self._keys = [form for secret in kept if len(secret) >= MIN_KEY for form in spellings(secret)]

    def holds(self, text: str) -> bool:
        """Whether a text contains a key; placeholders do not count."""
        return any(form in text for form in self._keys)

    def clean(self, text: str) -> str:
        """A text without secrets, on one line of printable characters, shortened to `MAX_SHOWN`."""
        for form in self._spellings:
            text = text.replace(form, HIDDEN)
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def spellings(secret: str) -> list[str]:
    """A secret and its escaped forms, longest first, so that none is left in part."""
    quoted = quote(secret, safe="")
    in_json = json.dumps(secret)[1:-1]
    forms = {secret, quoted, re.sub("%..", lambda m: m[0].lower(), quoted), in_json, in_json.replace("/", "\\/")}
    if len(secret) >= MIN_KEY:
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(secret.encode()).decode().rstrip("="))
    return sorted(forms, key=lambda form: (-len(form), form))
