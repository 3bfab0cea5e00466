"""A flipped bit is found wherever it is, named where it is a reply's, and never served."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from llm_backends.cache.entry import ReplySource
from llm_backends.cache.read_only_source import ReadOnlySource, export
from llm_backends.cache.request_key import key_of, key_texts, request_key
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.cache.seal import seal_path
from llm_backends.cache.verify import check_file
from llm_backends.errors import BackendError, BackendInputError

from tests.llm_backends.stored import IDENTITY, SCORE, ask, fill


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "replies.sqlite"
    fill(made).close()
    return made


@pytest.fixture
def lines(path: Path, tmp_path: Path) -> Path:
    cache = ReplyCache(path)
    export(cache, tmp_path / "replies.jsonl", cache.keys())
    cache.close()
    return tmp_path / "replies.jsonl"


def flip(path: Path, at: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def served(source: ReplySource) -> dict[str, object]:
    """What is served of everything that was stored; nothing for what raises."""
    found: dict[str, object] = {}
    for request in [*(ask(i) for i in range(12)), SCORE]:
        for text in key_texts(IDENTITY, request):
            try:
                found |= source.find({key_of(text): text})
            except BackendError:
                continue
    return found


def test_whole_files_are_whole(path: Path, lines: Path) -> None:
    for file in (path, lines):
        found = check_file(file)
        assert (found.entries, found.bad, found.whole) == (15, (), True)


def test_any_flipped_bit_is_found_and_never_served(path: Path) -> None:
    """Bits anywhere in the file: header, replies, notes, indexes and the room that holds nothing."""
    cache = ReplyCache(path)
    true = served(cache)
    cache.close()
    whole, draw = path.read_bytes(), random.Random(1)
    named = 0
    for _ in range(60):
        at, bit = draw.randrange(len(whole)), draw.randrange(8)
        flip(path, at, bit)
        found = check_file(path)
        assert found.bad, f"bit {bit} of byte {at} was not found"
        named += any(len(one.where) == 64 for one in found.bad)
        copy = path.with_name("copy.sqlite")
        shutil.copyfile(path, copy)
        damaged = ReplyCache(copy, read_only=True)
        assert served(damaged).items() <= true.items()
        damaged.close()
        path.write_bytes(whole)
    assert named > 5 and check_file(path).bad == ()


@pytest.mark.parametrize("text", ["reply 5", "number 5", " word word", "float32", "spae", "s-5"])
def test_a_bit_of_a_row_names_its_key_and_prompt(path: Path, text: str) -> None:
    key = request_key(IDENTITY, ask(5))
    content = path.read_bytes()
    flip(path, content.index(text.encode(), content.index(b"number 5") if text == " word word" else 0), 0)
    (bad,) = {one.where: one for one in check_file(path).bad}.values()
    assert bad.where != "file" and bad.prompt.startswith("Input: ")
    if "5" in text and text != "s-5":
        assert bad.where == key


def test_the_seal_is_only_for_a_file_at_rest(path: Path) -> None:
    cache = ReplyCache(path)
    assert seal_path(path).exists() and cache.get(IDENTITY, ask(1)) and seal_path(path).exists()
    cache.put(IDENTITY, ask(99), served_reply())
    assert not seal_path(path).exists() and not check_file(path).whole and check_file(path).bad == ()
    second = ReplyCache(path)
    second.put(IDENTITY, ask(98), served_reply())
    cache.close()
    assert not seal_path(path).exists(), "another still has it open"
    second.close()
    assert check_file(path).whole and check_file(path).entries == 17


def served_reply() -> object:
    from tests.llm_backends.stored import said

    return said("x")


def test_a_file_changed_by_another_program_is_told(path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("create table notes (text)")
    connection.close()
    (bad,) = check_file(path).bad
    assert bad.where == "file" and "changed by another program" in bad.reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("reply 5", "reply 6", "checksum"),
        ("number 5", "number 6", "key"),
        ('"max_new_tokens": 7', '"max_new_tokens": 8', "key"),
        ("-0.30000000000000004", "-0.30000000000000005", ""),
        ("-0.30000000000000004", "-0.3", "checksum"),
        ('"checksum"', '"sum"', "no checksum"),
    ],
)
def test_an_edited_line_is_found(lines: Path, old: str, new: str, reason: str) -> None:
    text = lines.read_text(encoding="utf-8")
    lines.write_text(text.replace(old, new, 1), encoding="utf-8")
    bad = check_file(lines).bad
    if reason:
        (one,) = bad
        assert len(one.where) == 64 and reason in one.reason and one.prompt.startswith("Input:")
        assert not served(ReadOnlySource(lines)).keys() & {one.where}
    else:
        assert bad == (), "the same number in another spelling is the same reply"


def test_a_second_reply_to_one_request_is_found(lines: Path) -> None:
    lines.write_text(lines.read_text() * 2)
    assert check_file(lines).bad == ()
    with lines.open("a") as stream:
        stream.write("<<<<<<< ours\n")
    (bad,) = check_file(lines).bad
    assert bad.where == "line 31"


def test_files_that_are_not_there_or_no_cache(tmp_path: Path) -> None:
    with pytest.raises(BackendInputError, match="readable"):
        check_file(tmp_path / "none.sqlite")
    (tmp_path / "x.sqlite").write_bytes(b"SQLite format 3\0 and then something else" * 30)
    assert check_file(tmp_path / "x.sqlite").bad[0].where == "file"
