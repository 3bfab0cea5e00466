"""Statistics, verification, pruning and import: a flipped bit is found, named and never served."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from llm_backends.cache.entry import ReplySource
from llm_backends.cache.jsonl import ReadOnlySource, export
from llm_backends.cache.maintenance import (
    cache_stats,
    check_file,
    import_into_cache,
    import_into_lines,
    prune_cache,
    read_file,
)
from llm_backends.cache.request_key import key_of, key_texts, request_key
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import BackendError, BackendInputError, CacheCorrupt
from tests.llm_backends.stored import IDENTITY, SCORE, ask, asked, fill, said


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    made = fill(tmp_path / "replies.sqlite")
    yield made
    made.close()


def damage(cache: ReplyCache, text: str) -> None:
    cache.close()
    content = bytearray(cache.path.read_bytes())
    content[content.index(text.encode())] ^= 1
    cache.path.write_bytes(content)


def test_what_is_stored_is_counted(cache: ReplyCache) -> None:
    cache.note([(request_key(IDENTITY, ask(1)), asked("vqgan")), (request_key(IDENTITY, ask(2)), asked("spae", "x"))])
    found = cache_stats(cache)
    assert (found.entries, found.empty, found.shared, found.notes, found.damaged) == (15, 1, 1, 14, 0)
    assert [(one.model, one.entries) for one in found.models] == [("m", 13), ("other", 2)]
    assert found.bytes >= cache.path.stat().st_size and found.oldest <= found.newest and found.oldest


def test_stats_and_prune_of_an_empty_cache(tmp_path: Path) -> None:
    empty = ReplyCache(tmp_path / "none.sqlite")
    found = cache_stats(empty)
    assert (found.entries, found.models, found.bytes, found.oldest) == (0, (), 0, "")
    assert prune_cache(empty, model="m").entries == 0 and not empty.path.exists()


def test_prune_by_model_and_age(cache: ReplyCache) -> None:
    assert prune_cache(cache, model="other", older_than=timedelta(days=1)).entries == 0
    assert prune_cache(cache, model="nobody").entries == 0
    tried = prune_cache(cache, model="other", dry_run=True)
    assert tried.models == {"other": 2} and len(cache.keys()) == 15
    assert prune_cache(cache, model="other") == tried and len(cache.keys()) == 13
    connection = sqlite3.connect(cache.path)
    with connection:
        connection.execute("pragma wal_checkpoint")
    connection.close()
    assert prune_cache(cache, older_than=timedelta(days=-1)).entries == 13
    assert cache.keys() == [] and cache_stats(cache).notes == 0
    cache.close()
    assert check_file(cache.path).bad == ()


def test_prune_bad_removes_only_damaged_replies(cache: ReplyCache) -> None:
    damage(cache, "reply 5")
    assert cache_stats(cache).damaged == 1
    assert prune_cache(cache, model="nobody").entries == 0, "what cannot be read is only taken out with --bad"
    tried = prune_cache(cache, bad=True, dry_run=True)
    assert (tried.entries, tried.damaged, len(cache.keys())) == (1, 1, 15)
    assert prune_cache(cache, bad=True).damaged == 1
    assert len(cache.keys()) == 14 and cache.get(IDENTITY, ask(5)) is None and cache.get(IDENTITY, SCORE)
    cache.close()
    assert check_file(cache.path).bad == ()


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
    """Every stored reply that is served; those that raise are left out."""
    found: dict[str, object] = {}
    for request in [*(ask(i) for i in range(12)), SCORE]:
        for text in key_texts(IDENTITY, request):
            try:
                found |= source.find({key_of(text): text})
            except BackendError:
                continue
    return found


def test_intact_files_have_no_damage(path: Path, lines: Path) -> None:
    for file in (path, lines):
        found = check_file(file)
        assert (found.entries, found.bad) == (15, ())


def test_every_flipped_bit_of_a_reply_is_found_named_and_never_served(path: Path) -> None:
    """Each bit of one stored reply, in the file itself."""
    key, text = request_key(IDENTITY, ask(5)), key_texts(IDENTITY, ask(5))[0]
    intact = path.read_bytes()
    reply = b'{"finish":"stop","text":" reply 5"}'
    begin = intact.index(reply)
    for at in range(begin, begin + len(reply)):
        for bit in range(8):
            flip(path, at, bit)
            (bad,) = check_file(path).bad
            assert bad.where == key and bad.prompt == "Input: number 5"
            damaged = ReplyCache(path, read_only=True)
            with pytest.raises(CacheCorrupt, match=key):
                damaged.find({key: text})
            damaged.close()
            flip(path, at, bit)
    assert path.read_bytes() == intact and check_file(path).bad == ()


def test_no_flipped_bit_of_a_file_serves_another_reply(path: Path) -> None:
    """Bits anywhere in the file: header, replies, provenance, indexes, unused space."""
    cache = ReplyCache(path)
    true = served(cache)
    cache.close()
    intact, rng = path.read_bytes(), random.Random(1)
    lost = 0
    for _ in range(120):
        flip(path, rng.randrange(len(intact)), rng.randrange(8))
        copy = path.with_name("copy.sqlite")
        shutil.copyfile(path, copy)
        damaged = ReplyCache(copy, read_only=True)
        found = served(damaged)
        assert found.items() <= true.items()
        lost += len(found) < len(true)
        damaged.close()
        path.write_bytes(intact)
    assert lost > 10, "some of these bits must be in replies"


@pytest.mark.parametrize("text", ["reply 5", "number 5", " word word", "float32"])
def test_a_flipped_bit_of_a_row_names_its_key_and_prompt(path: Path, text: str) -> None:
    key = request_key(IDENTITY, ask(5))
    content = path.read_bytes()
    flip(path, content.index(text.encode(), content.index(b"number 5") if text == " word word" else 0), 0)
    (bad,) = check_file(path).bad
    assert bad.where != "file" and bad.prompt.startswith("Input: ")
    if "5" in text:
        assert bad.where == key


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("reply 5", "reply 6", "checksum"),
        ("number 5", "number 6", "key"),
        ('"max_new_tokens": 7', '"max_new_tokens": 8', "key"),
        ("-0.30000000000000004", "-0.30000000000000005", ""),
        ("-0.30000000000000004", "-0.3", "checksum"),
        ('"checksum"', '"sum"', "incomplete"),
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


def test_missing_and_invalid_files(tmp_path: Path) -> None:
    with pytest.raises(BackendInputError, match="readable"):
        check_file(tmp_path / "none.sqlite")
    (tmp_path / "x.sqlite").write_bytes(b"SQLite format 3\0 and then something else" * 30)
    assert check_file(tmp_path / "x.sqlite").bad[0].where == "file"


def test_export_and_import_round_trip(tmp_path: Path) -> None:
    first = fill(tmp_path / "first.sqlite")
    export(first, tmp_path / "all.jsonl", first.keys())
    second = ReplyCache(tmp_path / "second.sqlite")
    assert import_into_cache(second, read_file(tmp_path / "all.jsonl")).new == 15
    assert import_into_cache(second, read_file(tmp_path / "first.sqlite")).same == 15
    export(second, tmp_path / "again.jsonl", second.keys())
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "all.jsonl").read_bytes()
    first.close(), second.close()


def test_one_bad_line_imports_nothing(tmp_path: Path) -> None:
    first = fill(tmp_path / "first.sqlite")
    export(first, tmp_path / "all.jsonl", first.keys())
    first.close()
    text = (tmp_path / "all.jsonl").read_text()
    (tmp_path / "all.jsonl").write_text(text.replace("reply 5", "reply 6"))
    with pytest.raises(CacheCorrupt, match="1 damaged lines"):
        read_file(tmp_path / "all.jsonl")


def test_conflicts_are_refused_kept_or_replaced(tmp_path: Path) -> None:
    held, other = ReplyCache(tmp_path / "held.sqlite"), ReplyCache(tmp_path / "other.sqlite")
    held.put_many(IDENTITY, [(ask(1), said("mine")), (ask(2), said("same"))])
    other.put_many(IDENTITY, [(ask(1), said("theirs")), (ask(2), said("same")), (ask(3), said("new"))])
    entries = [entry for entry in map(other.entry, other.keys()) if entry]
    with pytest.raises(CacheCorrupt, match=r"1 of these have another one.*nothing was imported.*--keep or --replace"):
        import_into_cache(held, entries)
    assert len(held.keys()) == 2
    kept = import_into_cache(held, entries, "keep")
    assert (kept.new, kept.same, kept.differing) == (1, 1, 1) and held.get(IDENTITY, ask(1)) == said("mine")
    import_into_cache(held, entries, "replace")
    assert held.get(IDENTITY, ask(1)) == said("theirs")
    for conflicts, text in (("keep", "mine"), ("replace", "theirs")):
        path = tmp_path / f"{conflicts}.jsonl"
        mine = ReplyCache(tmp_path / f"{conflicts}.sqlite")
        mine.put(IDENTITY, ask(1), said("mine"))
        export(mine, path, mine.keys())
        mine.close()
        with pytest.raises(CacheCorrupt, match="--keep"):
            import_into_lines(path, entries)
        import_into_lines(path, entries, conflicts)  # type: ignore[arg-type]
        assert ReadOnlySource(path).get(IDENTITY, ask(1)) == said(text)
    held.close(), other.close()
