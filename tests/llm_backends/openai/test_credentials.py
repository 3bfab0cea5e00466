"""A key: where it is read from, and that no spelling of it survives in a server's words."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_backends.errors import BackendError, BackendInputError, BackendUnavailable
from llm_backends.openai.credentials import SHOWN, Redactor, read_key
from llm_backends.openai.options import ServerOptions

KEY = "sk-Te/st+K3y=9&x_Zq-abcdefghijklmnop"
LOCAL = "http://localhost:8000/v1"


def spellings(key: str) -> dict[str, str]:
    """Ways in which servers may echo a key."""
    quoted = urllib.parse.quote(key, safe="")
    return {
        "plain": key,
        "header": f"Authorization: Bearer {key}",
        "upper": key.upper(),
        "quoted": f'{{"key":"{key}"}}',
        "url": quoted,
        "url lower": quoted.lower(),
        "url twice": urllib.parse.quote(quoted, safe=""),
        "url all": "".join(f"%{ord(c):02X}" for c in key),
        "json all": "".join(f"\\u{ord(c):04x}" for c in key),
        "json slash": json.dumps(key).replace("/", "\\/"),
        "html": html.escape(key),
        "html all": "".join(f"&#{ord(c)};" for c in key),
        "base64": base64.b64encode(key.encode()).decode(),
        "base64 header": base64.b64encode(f"Bearer {key}".encode()).decode(),
        "base64 pair": base64.b64encode(f"user:{key}\n".encode()).decode(),
        "base64 url": base64.urlsafe_b64encode(f"x{key}y".encode()).decode(),
        "hex": key.encode().hex(),
        "lines": "\n".join([key[:7], key[7:20], key[20:]]),
        "lines in json": json.dumps("\r\n".join([key[:7], key[7:20], key[20:]])),
        "base64 in lines": base64.encodebytes((key * 2).encode()).decode(),
        "a character a line": "\n".join(key),
        "a part": f"{key[:20]}...",
        "an end": f"...{key[-14:]}",
    }


@pytest.mark.parametrize("name", spellings(KEY))
def test_no_spelling_survives(name: str) -> None:
    text = f"Incorrect API key provided: {spellings(KEY)[name]} (see the manual)"
    clean = Redactor([KEY]).clean(text)
    assert "[key]" in clean and clean.startswith("Incorrect API key provided: ") and "manual" in clean
    squeezed = "".join(clean.split()).lower()
    for at in range(len(KEY) - 9):
        assert KEY[at : at + 10].lower() not in squeezed
    for decoded in (urllib.parse.unquote(urllib.parse.unquote(squeezed)), html.unescape(squeezed)):
        assert KEY.lower() not in decoded


@settings(max_examples=25)  # each compiles the patterns of another key
@given(
    key=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=60),
    pad=st.binary(max_size=5),
)
def test_base64_of_any_key_at_any_place(key: str, pad: bytes) -> None:
    for coded in (base64.b64encode(pad + key.encode() + pad), base64.urlsafe_b64encode(pad + key.encode() + pad)):
        assert Redactor([key]).holds(f"<{coded.decode()}>")


def test_other_words_stay() -> None:
    scrubber = Redactor([KEY, "abc", ""])
    text = "The model `m` does not exist, abc or not"
    assert scrubber.clean(text) == text and not scrubber.holds(text)


def test_placeholders_are_hidden_but_may_stand_in_an_answer() -> None:
    scrubber = Redactor(["EMPTY"])
    assert scrubber.clean("Bearer EMPTY is wrong") == "Bearer [key] is wrong"
    assert not scrubber.holds("an empty crate")


def test_without_a_key_nothing_is_hidden() -> None:
    assert Redactor([]).clean(KEY) == KEY


def test_one_short_printable_line() -> None:
    clean = Redactor([KEY]).clean("a\x1b[31m\n\tb" + "c" * 900)
    assert clean.startswith("a [31m b") and len(clean) == SHOWN and clean.isprintable()


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("MINE", "other-key-123")
    key, mine = read_key(ServerOptions()), read_key(ServerOptions(key_env="MINE"))
    assert key is not None and key.get_secret_value() == KEY
    assert KEY not in repr(key) + str(key) + f"{key}"
    assert mine is not None and mine.get_secret_value() == "other-key-123"


def test_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another-key")
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    key = read_key(ServerOptions(key_file=path))
    assert key is not None and key.get_secret_value() == KEY


def test_no_key_is_needed_where_nobody_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert read_key(ServerOptions(base_url=LOCAL)) is None
    with pytest.raises(BackendUnavailable, match=r"api\.openai\.com needs a key"):
        read_key(ServerOptions())
    with pytest.raises(BackendUnavailable, match="--key-env NOT_THERE"):
        read_key(ServerOptions(base_url=LOCAL, key_env="NOT_THERE"))


@pytest.mark.parametrize("content", ["", " \n", f"{KEY}\n{KEY}\n", f"{KEY} {KEY}", f"{KEY}ü", f"{KEY}\x00"])
def test_files_that_hold_no_key_are_told_without_what_they_hold(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BackendInputError, match="one line") as caught:
        read_key(ServerOptions(key_file=path))
    assert KEY not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "binary", "."):
        with pytest.raises(BackendError, match="--key-file"):
            read_key(ServerOptions(key_file=tmp_path / name))
