"""Replies from other files: all or none, conflicts told, and everything an earlier version stored."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from llm_backends.cache.merge import import_into_cache, import_into_lines, migrate, read_file
from llm_backends.cache.read_only_source import ReadOnlySource, export
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.cache.verify import check_file
from llm_backends.errors import BackendInputError, BackendUnavailable, CacheCorrupt
from llm_backends.protocol import Choice, Completion, CompletionRequest, LikelihoodRequest, Likelihoods

from tests.llm_backends.stored import IDENTITY, SCORE, ask, fill, said

OLD_ASK = {"prompt": "old é", "max_new_tokens": 7, "stop": ["\n"], "temperature": 0.0, "seed": 0}
OLD_SCORE = {"context": "old", "continuations": [" a", " b"]}


def old_rows() -> list[dict[str, object]]:
    """Replies as the first version stored them, its key written out."""
    rows = []
    for kind, request, reply in (
        ("completion", OLD_ASK, {"text": " lion", "finish": "stop"}),
        ("likelihood", OLD_SCORE, {"values": [-1.5, -0.30000000000000004]}),
    ):
        identity = IDENTITY.model_dump()
        parts = {"version": 1, "identity": identity, "kind": kind, "request": request}
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        key = hashlib.sha256(text.encode()).hexdigest()
        rows.append({"key": key, "identity": identity, "request": request, "reply": reply})
    return rows


def old_lines(path: Path) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in old_rows()), encoding="utf-8")
    return path


def old_cache(path: Path) -> Path:
    connection = sqlite3.connect(path)
    connection.execute(
        "create table replies (key text primary key, identity text not null, prompt text not null, "
        "request text not null, reply text not null, checksum text not null, created text not null)"
    )
    connection.execute("create index replies_by_prompt on replies (identity, prompt)")
    for row in old_rows():
        reply = json.dumps(row["reply"], sort_keys=True, separators=(",", ":"))
        checksum = hashlib.sha256(f"{row['key']}\n{reply}".encode()).hexdigest()
        request = json.dumps({"identity": row["identity"], "kind": "k", "request": row["request"]}, ensure_ascii=False)
        values = (row["key"], "i", "p", request, reply, checksum, "2026-01-01T00:00:00+00:00")
        connection.execute("insert into replies values (?, ?, ?, ?, ?, ?, ?)", values)
    connection.execute("pragma user_version = 1")
    connection.commit()
    connection.execute("pragma journal_mode = wal")
    connection.close()
    return path


def check_old(source: ReplyCache | ReadOnlySource) -> None:
    text = source.get(IDENTITY, CompletionRequest.model_validate(OLD_ASK))
    assert text == Completion(choices=(Choice(text=" lion", finish="stop"),))
    values = source.get(IDENTITY, LikelihoodRequest.model_validate(OLD_SCORE))
    assert values == Likelihoods(values=(-1.5, -0.30000000000000004))


def test_an_old_cache_is_recognised_and_migrated_in_place(tmp_path: Path) -> None:
    path = old_cache(tmp_path / "replies.sqlite")
    before = path.read_bytes()
    cache = ReplyCache(path)
    for use in (lambda: cache.keys(), lambda: cache.put(IDENTITY, SCORE, Likelihoods(values=(-1.0, -2.0)))):
        with pytest.raises(BackendInputError, match=rf"no reply is lost: python -m benchmarks cache import {path}"):
            use()
    assert path.read_bytes() == before
    assert migrate(path) == 2
    migrated = ReplyCache(path)
    check_old(migrated)
    migrated.close()
    kept = path.with_name("replies.sqlite.layout-1")
    assert sqlite3.connect(kept).execute("select count(*) from replies").fetchone() == (2,)
    assert check_file(path).bad == () and check_file(path).whole
    with pytest.raises(BackendInputError, match="nothing to import"):
        migrate(path)


def test_a_damaged_old_cache_is_left_as_it_is(tmp_path: Path) -> None:
    path = old_cache(tmp_path / "replies.sqlite")
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("update replies set reply = replace(reply, 'lion', 'vase')")
    connection.close()
    with pytest.raises(CacheCorrupt, match="checksum differs"):
        migrate(path)
    with pytest.raises(BackendInputError, match="layout 1"):
        ReplyCache(path).keys()


def test_a_cache_in_use_is_not_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_backends.cache.merge.WAIT_SECONDS", 0.1)
    path = old_cache(tmp_path / "replies.sqlite")
    user = sqlite3.connect(path, isolation_level=None)
    user.execute("begin immediate")
    with pytest.raises(BackendUnavailable, match="end other programs"):
        migrate(path)
    user.close()


def test_old_files_are_imported_and_rewritten(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    assert import_into_cache(cache, read_file(old_cache(tmp_path / "old.sqlite"))).new == 2
    check_old(cache)
    lines = old_lines(tmp_path / "old.jsonl")
    with pytest.raises(BackendInputError, match=f"cache import {lines} --into {lines}"):
        ReadOnlySource(lines).keys()
    with pytest.raises(BackendInputError, match="earlier version"):
        check_file(lines)
    done = import_into_lines(lines, read_file(lines))
    assert (done.new, done.same, done.differing) == (0, 2, 0)
    check_old(ReadOnlySource(lines))
    assert check_file(lines).bad == ()
    cache.close()


def test_an_edited_old_line_is_refused(tmp_path: Path) -> None:
    lines = old_lines(tmp_path / "old.jsonl")
    lines.write_text(lines.read_text(encoding="utf-8").replace('"max_new_tokens": 7', '"max_new_tokens": 8'))
    with pytest.raises(CacheCorrupt, match="1 lines that are not as they were written, line 1: "):
        read_file(lines)


def test_export_and_import_come_back_the_same(tmp_path: Path) -> None:
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
    with pytest.raises(CacheCorrupt, match="1 lines that are not as they were written"):
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
