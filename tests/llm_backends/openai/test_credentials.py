"""A key: where it is read from, and its redaction from a server's words."""

from __future__ import annotations

import base64
import json
import re
import time
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_backends.errors import BackendError, BackendInputError, BackendUnavailable
from llm_backends.openai.credentials import MAX_READ, MAX_SHOWN, Redactor, read_key
from llm_backends.openai.options import ServerOptions

KEY = "sk-Te/st+K3y=9&x_Zq-abcdefghijklmnop"
LOCAL = "http://localhost:8000/v1"


def echoed(key: str) -> dict[str, str]:
    """Ways in which servers echo a key, made without the redactor."""
    quoted = urllib.parse.quote(key, safe="")
    return {
        "plain": key,
        "header": f"Authorization: Bearer {key}",
        "repr": repr({"authorization": f"Bearer {key}"}),
        "json": json.dumps({"key": key}),
        "json with escaped slashes": json.dumps({"key": key}).replace("/", "\\/"),
        "url": f"https://h/?key={quoted}",
        "url in lower case": re.sub("%..", lambda m: m[0].lower(), quoted),
        "base64": base64.b64encode(key.encode()).decode(),
        "base64 without padding": base64.b64encode(key.encode()).decode().rstrip("="),
        "base64 for urls": base64.urlsafe_b64encode(key.encode()).decode(),
    }


@pytest.mark.parametrize("name", echoed(KEY))
@pytest.mark.parametrize("key", [KEY, 'quo"te/slash+and-long'])
def test_no_spelling_of_a_key_survives(name: str, key: str) -> None:
    text = echoed(key)[name]
    redactor = Redactor([key])
    clean = redactor.clean(f"Incorrect API key provided: {text} (see the manual)")
    assert "[key]" in clean and clean.startswith("Incorrect API key provided: ") and "manual" in clean
    assert not any(part in clean for part in (key, key[:9], key[-9:], text)) and redactor.holds(text)


@given(key=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=60), pad=st.text())
def test_any_key_is_redacted_at_any_place(key: str, pad: str) -> None:
    for text in (key, urllib.parse.quote(key, safe=""), json.dumps(key), base64.b64encode(key.encode()).decode()):
        assert Redactor([key]).holds(pad + text + pad)
        assert text not in Redactor([key]).clean(text)


@pytest.mark.parametrize("key", [KEY, "\\" * 12 + "a", 'quo"te\\/slash+and-long', "a/b/c/d/e/f/"])
@pytest.mark.parametrize("piece", ["\\", "\\/", "%2", "\\\\\\\\\\\\/", KEY[:-1]])
def test_redaction_takes_linear_time(key: str, piece: str) -> None:
    text = piece * (3_000_000 // len(piece))
    redactor = Redactor([key])
    started = time.perf_counter()
    assert not redactor.holds(text) and len(redactor.clean(text)) <= MAX_SHOWN
    assert time.perf_counter() - started < 2.0


@pytest.mark.parametrize("before", [MAX_READ - 10, MAX_READ, MAX_READ + len(KEY) - 3])
def test_a_key_that_is_cut_with_long_words_leaves_no_part(before: int) -> None:
    clean = Redactor([KEY]).clean(" " * before + KEY + " and more" * 9)
    assert KEY[:4] not in clean


def test_other_words_stay() -> None:
    redactor = Redactor([KEY, "abc", "", "none", "model", "exist,"])
    text = "The model `m` does not exist, abc or not, none at all"
    assert redactor.clean(text) == text and not redactor.holds(text)


@pytest.mark.parametrize("short", ["none", "model", "EMPTY", "ollama", "sk-1234"])
def test_placeholders_are_words_like_others(short: str) -> None:
    """A key of fewer than 8 characters protects nothing, and a message with holes in it helps nobody."""
    redactor = Redactor([short])
    assert redactor.clean(f"Bearer {short} is wrong") == f"Bearer {short} is wrong"
    assert not redactor.holds(f"a {short} crate")
    assert Redactor([f"{short}12345"]).clean(f"Bearer {short}12345 is wrong") == "Bearer [key] is wrong"


def test_without_a_key_nothing_is_redacted() -> None:
    assert Redactor([]).clean(KEY) == KEY


def test_one_short_printable_line() -> None:
    clean = Redactor([KEY]).clean("a\x1b[31m\n\tb" + "c" * 900)
    assert clean.startswith("a [31m b") and len(clean) == MAX_SHOWN and clean.isprintable()


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


def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert read_key(ServerOptions(base_url=LOCAL)) is None
    with pytest.raises(BackendUnavailable, match=r"api\.openai\.com needs a key"):
        read_key(ServerOptions())
    with pytest.raises(BackendUnavailable, match="key_env=NOT_THERE"):
        read_key(ServerOptions(base_url=LOCAL, key_env="NOT_THERE"))


@pytest.mark.parametrize("content", ["", " \n", f"{KEY}\n{KEY}\n", f"{KEY} {KEY}", f"{KEY}ü", f"{KEY}\x00"])
def test_invalid_key_files_are_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BackendInputError, match="one line") as caught:
        read_key(ServerOptions(key_file=path))
    assert KEY not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "binary", "."):
        with pytest.raises(BackendError, match="key_file="):
            read_key(ServerOptions(key_file=tmp_path / name))
